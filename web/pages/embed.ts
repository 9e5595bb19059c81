/** The page at /embed, for an iframe: one program, which the fragment holds. Options: ?theme=dark&timeout=10&readonly */

import { fromFragment } from "./share.js";
import { applyTheme, asTheme } from "./theme.js";

const program = document.querySelector("run-code");
const options = new URLSearchParams(location.search);

async function show(): Promise<void> {
  if (program) program.starter = (await fromFragment(location.hash)) ?? 'print("Hello!")\n';
}

for (const name of ["timeout", "readonly", "stdin", "storage"]) {
  const value = options.get(name);
  if (value !== null) program?.setAttribute(name, value);
}
applyTheme(asTheme(options.get("theme")));
addEventListener("hashchange", () => void show());
void show();
