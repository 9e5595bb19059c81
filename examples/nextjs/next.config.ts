import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import type { NextConfig } from "next";

const config: NextConfig = {
  poweredByHeader: false,
  // this directory, not one above it that happens to have a lock file
  turbopack: { root: dirname(fileURLToPath(import.meta.url)) },
};

export default config;
