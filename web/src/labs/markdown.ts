/** A task's Markdown as elements. Teachers, other systems and models write it, so its HTML is sanitised. */

import { marked } from "marked";
import { sanitizeWithLinks } from "../sanitize.js";

/** `level`: of the highest heading in it; the others follow without a gap. */
export function markdown(text: string, level: number): DocumentFragment {
  const fragment = sanitizeWithLinks(marked.parse(text, { async: false, gfm: true }));
  const headings = [...fragment.querySelectorAll("h1, h2, h3, h4, h5, h6")];
  const levels = [...new Set(headings.map(({ tagName }) => tagName))].sort();
  for (const heading of headings) {
    const made = document.createElement(`h${Math.min(6, level + levels.indexOf(heading.tagName))}`);
    made.append(...heading.childNodes);
    heading.replaceWith(made);
  }
  for (const link of fragment.querySelectorAll("a")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer";
  }
  for (const picture of fragment.querySelectorAll("img")) {
    if (!picture.hasAttribute("src")) picture.remove(); // it was somebody else's
    else if (!picture.hasAttribute("alt")) picture.alt = "";
  }
  for (const block of fragment.querySelectorAll("pre")) block.tabIndex = 0; // a keyboard scrolls it
  return fragment;
}
