/** The page at /tokens: a teacher makes links for learners, each with a token. */

import { el } from "../src/dom.js";
import { copyFrom, find } from "./find.js";
import { isSecret, keyId, makeToken, nameProblem } from "./signing.js";
import { installThemeButton } from "./theme.js";

const form = find<HTMLFormElement>("#form");
const key = find<HTMLInputElement>("#key");
const secret = find<HTMLInputElement>("#secret");
const learners = find<HTMLTextAreaElement>("#learners");
const course = find<HTMLInputElement>("#course");
const minutes = find<HTMLInputElement>("#minutes");
const problem = find<HTMLParagraphElement>("#problem");
const made = find<HTMLElement>("#made");
const rows = find<HTMLTableSectionElement>("#rows");
const copy = find<HTMLButtonElement>("#copy");

/** What the form says; throws an `Error` with a sentence for the teacher. */
function asked(): { id: string; names: string[]; until: Date } {
  const id = keyId(key.value);
  if (!id) throw new Error("The id of a key has 8 small letters and digits.");
  if (!isSecret(secret.value)) throw new Error("The secret begins with ces_ and has 47 characters. `keys add` and `keys rotate` show it.");
  const names = [...new Set(learners.value.split("\n").map((name) => name.trim()).filter(Boolean))];
  if (names.length === 0) throw new Error("There is no learner.");
  for (const name of [...names, course.value.trim()]) {
    const wrong = nameProblem(name);
    if (wrong) throw new Error(wrong);
  }
  // a browser has this on HTTPS and on localhost alone
  if (!globalThis.crypto?.subtle) throw new Error("The browser signs nothing on a page without HTTPS. `code-executor token` makes tokens too.");
  return { id, names, until: new Date(Date.now() + 60_000 * Number(minutes.value)) };
}

async function make(): Promise<void> {
  const { id, names, until } = asked();
  const page = new FormData(form).get("page") as string;
  const claims = {
    exp: Math.floor(until.getTime() / 1000),
    ...(course.value.trim() ? { course: course.value.trim() } : {}),
    ...(page === "labs" ? { scope: "run check labs" } : {}), // which tokens do not have otherwise
  };
  const tokens = await Promise.all(names.map((sub) => makeToken(id, secret.value, { sub, ...claims })));
  rows.replaceChildren(
    ...tokens.map((token, at) => {
      const href = new URL(`${page || "./"}#token=${token}`, document.baseURI).href;
      const field = el("input", { readOnly: true, value: token, ariaLabel: `Token of ${names[at]}`, onfocus: () => field.select() });
      return el("tr", {}, el("td", {}, names[at] ?? ""), el("td", {}, el("a", { href }, "Link")), el("td", {}, field));
    }),
  );
  find("#until").textContent = `They are valid until ${until.toLocaleTimeString()}, and end before if the key is revoked.`;
  copy.textContent = "Copy all, as a table";
  made.hidden = false;
  find<HTMLElement>("#made-title").focus();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  problem.textContent = "";
  made.hidden = true;
  make().catch((error: unknown) => {
    problem.textContent = error instanceof Error ? error.message : String(error);
  });
});
copy.addEventListener("click", () => {
  const lines = [...rows.rows].map((row) => `${row.cells[0]?.textContent}\t${row.querySelector("a")?.href}`);
  void copyFrom(copy, lines.join("\n"), () => getSelection()?.selectAllChildren(rows));
});
installThemeButton();
