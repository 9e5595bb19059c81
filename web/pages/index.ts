/** The page at /: the gallery, the editor, and links to share a program. */

import { EXAMPLES, type Example } from "./examples.js";
import { copyFrom, find } from "./find.js";
import { fromFragment, toFragment } from "./share.js";
import { installThemeButton } from "./theme.js";
import { letIn } from "./visitor.js";

const program = find<HTMLElementTagNameMap["run-code"]>("run-code");
const list = find<HTMLUListElement>("#examples");
const title = find<HTMLHeadingElement>("h1");
const about = find<HTMLParagraphElement>("#about");
const dialog = find<HTMLDialogElement>("dialog");
const link = find<HTMLInputElement>("#link");
const frame = find<HTMLTextAreaElement>("#frame");

const buttons = new Map<string, HTMLAnchorElement>();

function show(heading: string, text: string, code: string, example?: Example): void {
  title.textContent = heading;
  about.textContent = text;
  if (program.running) program.stop();
  program.files = example?.files ?? [];
  if (example?.timeout) program.setAttribute("timeout", String(example.timeout));
  else program.removeAttribute("timeout");
  program.setAttribute("storage", example ? `example:${example.id}` : "off"); // a shared program is not the reader's draft
  program.setAttribute("label", heading);
  program.starter = code.trimEnd();
  for (const [id, button] of buttons) {
    if (id === example?.id) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
}

async function showWhatTheAddressSays(): Promise<void> {
  letIn(program);
  const shared = await fromFragment(location.hash);
  if (shared !== null) {
    show("A shared program", "Somebody sent you this. Read it, change it, run it.", shared);
    return;
  }
  const example = EXAMPLES.find(({ id }) => location.hash === `#${id}`) ?? EXAMPLES[0];
  if (example) show(example.title, example.about, example.code, example);
}

async function share(): Promise<void> {
  const fragment = await toFragment(program.code);
  link.value = new URL(fragment, location.href).href;
  const source = new URL(`embed${fragment}`, document.baseURI).href;
  frame.value = `<iframe src="${source}" width="100%" height="480" title="Python program" loading="lazy"></iframe>`;
  for (const button of dialog.querySelectorAll<HTMLButtonElement>("[data-copies]")) button.textContent = "Copy";
  dialog.showModal();
  link.select();
}

async function copy(button: HTMLButtonElement): Promise<void> {
  const field = find<HTMLInputElement | HTMLTextAreaElement>(`#${button.dataset["copies"]}`);
  await copyFrom(button, field.value, () => field.select());
}

for (const { id, title: text } of EXAMPLES) {
  const anchor = document.createElement("a");
  anchor.href = `#${id}`;
  anchor.textContent = text;
  buttons.set(id, anchor);
  const item = document.createElement("li");
  item.append(anchor);
  list.append(item);
}
find("#share").addEventListener("click", () => void share());
for (const button of dialog.querySelectorAll<HTMLButtonElement>("[data-copies]")) {
  button.addEventListener("click", () => void copy(button));
}
addEventListener("hashchange", () => void showWhatTheAddressSays());
installThemeButton();
void showWhatTheAddressSays();
