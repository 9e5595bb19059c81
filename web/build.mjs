/**
 * Builds two things:
 *   dist/                            the npm package: the component as one module, and its types
 *   ../src/code_executor/api/web/    what the service serves: the pages, and their assets under names that change with
 *                                    their contents, beside /assets/run-code.js, the name that other sites may count on
 */

import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const site = join(here, "../src/code_executor/api/web");
const fresh = `${site}.new`;
const PAGES = ["index.html", "embed.html", "notebook.html", "tokens.html", "labs.html", "teach.html", "dashboard.html"];
const ENTRIES = ["index.ts", "embed.ts", "notebook.ts", "tokens.ts", "labs.ts", "teach.ts", "dashboard.ts", "page.css", "labs.css", "dashboard.css"];

async function bundle(entry) {
  const result = await build({
    absWorkingDir: here,
    entryPoints: [entry],
    outdir: "out",
    bundle: true,
    format: "esm",
    target: ["chrome123", "firefox120", "safari17.5"], // the first with light-dark()
    minify: true,
    loader: { ".css": entry.endsWith(".css") ? "css" : "text" },
    legalComments: "none", // they are in licenses.txt, with all the others
    metafile: true,
    write: false,
  });
  return { text: result.outputFiles[0].contents, inputs: Object.keys(result.metafile.inputs) };
}

/** The licence of every package that is in the bundle. */
async function licenses(inputs) {
  const packages = new Set(inputs.map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1]).filter(Boolean));
  const texts = [];
  for (const name of [...packages].sort()) {
    const directory = join(here, "node_modules", name);
    const { version, license } = JSON.parse(await readFile(join(directory, "package.json"), "utf8"));
    const file = (await readdir(directory)).find((each) => /^licen[cs]e/i.test(each));
    texts.push(`${name} ${version} (${license})\n\n${file ? await readFile(join(directory, file), "utf8") : ""}`);
  }
  return texts.join(`\n${"-".repeat(80)}\n\n`);
}

function hashed(name, contents) {
  const extension = extname(name);
  return `${basename(name, extension)}-${createHash("sha256").update(contents).digest("base64url").slice(0, 10)}${extension}`;
}

async function put(path, contents) {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, contents);
}

async function main() {
  const component = await bundle("src/run-code.ts");
  const notices = await licenses(component.inputs);

  await rm(join(here, "dist"), { recursive: true, force: true });
  await put(join(here, "dist/run-code.js"), component.text);
  await put(join(here, "dist/licenses.txt"), notices);
  execFileSync("node_modules/.bin/tsc", ["-p", "tsconfig.types.json"], { cwd: here, stdio: "inherit" });
  for (const name of await readdir(join(here, "dist"))) {
    if (name.endsWith(".d.ts") && !["run-code.d.ts", "failure.d.ts", "wire.d.ts"].includes(name)) await rm(join(here, "dist", name));
  }

  const assets = { "run-code.js": component.text };
  const inputs = [...component.inputs];
  for (const entry of ENTRIES) {
    const made = await bundle(`pages/${entry}`);
    assets[entry.replace(/\.ts$/, ".js")] = made.text;
    inputs.push(...made.inputs);
  }
  assets["icon.svg"] = await readFile(join(here, "pages/icon.svg"));

  await rm(fresh, { recursive: true, force: true });
  const files = { "assets/run-code.js": component.text, "assets/licenses.txt": await licenses(inputs) };
  for (const [name, contents] of Object.entries(assets)) files[`assets/${hashed(name, contents)}`] = contents;
  for (const page of PAGES) {
    const template = await readFile(join(here, "pages", page), "utf8");
    files[page] = template.replace(/\{\{(.+?)\}\}/g, (_, name) => hashed(name, assets[name]));
  }
  for (const [path, contents] of Object.entries(files)) {
    await put(join(fresh, path), contents);
    await put(join(fresh, `${path}.gz`), gzipSync(contents, { level: 9 }));
  }
  await rm(site, { recursive: true, force: true });
  await rename(fresh, site); // a server that starts meanwhile finds a whole build, or none
  console.log(`built ${Object.keys(files).length} files; run-code.js has ${Math.round(component.text.length / 1024)} KB`);
}

await main();
