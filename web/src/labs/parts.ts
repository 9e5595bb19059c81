/** What several pages of labs are made of. */

import { el } from "../dom.js";

export function link(href: string, text: string, properties: Record<string, unknown> = {}): HTMLAnchorElement {
  return el("a", { href, ...properties }, text);
}

/** A link to another site, in a tab of its own; the text alone where there is no address. */
export function outside(href: string | null, text: string): HTMLElement {
  return href === null ? el("span", {}, text) : link(href, text, { target: "_blank", rel: "noopener noreferrer" });
}

export function button(text: string, onclick: () => void, properties: Record<string, unknown> = {}): HTMLButtonElement {
  return el("button", { type: "button", ...properties, onclick }, text);
}

export function facts(...content: (Node | string)[]): HTMLElement {
  return el("p", { className: "facts" }, ...content);
}

export function badge(text: string, kind: "" | "good" | "wrong" = ""): HTMLElement {
  return el("span", { className: `badge ${kind}` }, text);
}

/** The head of a page: a link to what it belongs to, and its title. */
export function head(up: HTMLAnchorElement, title: string, ...more: Node[]): HTMLElement {
  return el("div", { className: "lab-head" }, el("p", { className: "up" }, up), el("h1", {}, title), ...more);
}

/** A list without bullets, which is a list to a screen reader all the same. */
export function list(className: string, items: readonly HTMLElement[], properties: Record<string, unknown> = {}): HTMLElement {
  return el("ul", { className, role: "list", ...properties }, ...items);
}

/** Cards, or a sentence where there are none. */
export function cards(items: readonly (readonly Node[])[], none: string): HTMLElement {
  if (items.length === 0) return el("p", {}, none);
  return list("cards", items.map((content) => el("li", { className: "card" }, ...content)));
}

/** Text that is too wide for a phone scrolls by itself, also with a keyboard. */
export function source(text: string, name: string): HTMLElement {
  return el("pre", { tabIndex: 0, role: "group", ariaLabel: name }, text);
}

/** Give the reader a file. */
export function download(content: Blob, name: string): void {
  const address = URL.createObjectURL(content);
  link(address, "", { download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
