/** What a page of labs shows: what it is asked for, or why it cannot, and a way in for who has a key. */

import { el } from "../src/dom.js";
import { LabsClient, LabsError } from "../src/labs/client.js";
import { find } from "./find.js";
import { installThemeButton } from "./theme.js";
import { keepToken, takeToken } from "./visitor.js";

/** Show what `make` makes. */
export async function open(make: (client: LabsClient) => Promise<Node[]>): Promise<void> {
  installThemeButton();
  const client = new LabsClient(document.baseURI, takeToken() ?? "");
  const main = find<HTMLElement>("#main");
  const show = (nodes: Node[]): void => {
    main.replaceChildren(...nodes);
    name(main);
  };
  main.addEventListener("lab-shown", () => name(main));
  main.addEventListener("lab-problem", (event) => show(refusal((event as CustomEvent<unknown>).detail)));
  try {
    show(await make(client));
  } catch (error) {
    show(refusal(error));
  }
  // a link with another token may be opened in a tab that has one
  addEventListener("hashchange", () => location.hash.startsWith("#token=") && (takeToken(), location.reload()));
}

/** Have the window's title say what is shown. */
function name(main: HTMLElement): void {
  const title = main.querySelector("h1")?.textContent;
  if (title) document.title = `${title} – Code Executor`;
}

function refusal(error: unknown): Node[] {
  if (!(error instanceof LabsError)) throw error;
  const { status, title, detail } = error.failure;
  const said = [el("h1", {}, status === 404 ? "Not found" : title), el("p", { role: "alert" }, detail)];
  return status === 401 || status === 403 ? [...said, door()] : said;
}

/** A form for a key, or a token that was not in a link. */
function door(): HTMLElement {
  const field = el("input", { type: "password", required: true, autocomplete: "off", id: "key-or-token" });
  const enter = (event: Event): void => {
    event.preventDefault();
    keepToken(field.value.trim());
    location.reload();
  };
  return el(
    "form",
    { className: "form", onsubmit: enter },
    el("p", {}, "Learners need the link that their course gives them. It is valid for a short time: open a new one. Teachers can use a key."),
    el("label", { htmlFor: "key-or-token" }, "Key or token ", el("small", {}, "kept while this tab is open")),
    field,
    el("button", {}, "Go on"),
  );
}
