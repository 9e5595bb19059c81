/**
 * A program's HTML (a table, say) made harmless: no scripts, no styles, nothing that is loaded from anywhere, nothing
 * that can be clicked, and no names that the component's own style sheet or scripts go by.
 */

import createPurifier, { type DOMPurify } from "dompurify";

const TAGS = [
  ..."table caption colgroup col thead tbody tfoot tr th td".split(" "),
  ..."div span p br hr pre code samp kbd blockquote ul ol li dl dt dd h1 h2 h3 h4 h5 h6".split(" "),
  ..."b strong i em u s del ins small sub sup mark abbr q cite var time details summary figure figcaption img".split(" "),
];
const ATTRIBUTES = ["colspan", "rowspan", "span", "scope", "headers", "src", "alt", "width", "height", "title", "dir", "lang", "open"];
const EMBEDDED_PICTURE = /^data:image\/(?:png|jpeg|gif|webp);base64,/i;

let purifier: DOMPurify | undefined; // one for all: a second of its Trusted Types policies may not be allowed

/** Styles and handlers would be dropped in any case; without them, a page with a strict policy has nothing to report. */
function withoutReports(html: string): string {
  return html
    .replace(/<style\b[^<>]*>[^<]*<\/style\s*>/gi, "")
    .replace(/<[a-z][^<>]*>/gi, (tag) => tag.replace(/\s(?:style|on[a-z]+)\s*=\s*(?:"[^"]*"|'[^']*')/gi, ""));
}

/** DOMPurify lets every `data:` picture pass, whatever the expression for addresses says: an SVG too. */
function makePurifier(): DOMPurify {
  const made = createPurifier(window);
  made.addHook("uponSanitizeAttribute", (_, attribute) => {
    if (attribute.attrName === "src" && !EMBEDDED_PICTURE.test(attribute.attrValue)) attribute.keepAttr = false;
  });
  return made;
}

export function sanitize(html: string): DocumentFragment {
  return purify(html, TAGS, ATTRIBUTES, EMBEDDED_PICTURE);
}

/** The same with links to other pages: for what a teacher wrote. */
export function sanitizeWithLinks(html: string): DocumentFragment {
  return purify(html, [...TAGS, "a"], [...ATTRIBUTES, "href"], /^(?:https?:\/\/|mailto:)/i);
}

function purify(html: string, tags: string[], attributes: string[], addresses: RegExp): DocumentFragment {
  purifier ??= makePurifier();
  const fragment = purifier.sanitize(withoutReports(html), {
    ALLOWED_TAGS: tags,
    ALLOWED_ATTR: attributes,
    ALLOWED_URI_REGEXP: addresses,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    FORBID_CONTENTS: ["style", "script", "title", "noscript", "template", "iframe", "object", "svg", "math"],
    RETURN_DOM_FRAGMENT: true,
  });
  // pandas heads its index with nothing, which is no heading to a screen reader
  for (const heading of fragment.querySelectorAll("th:empty")) {
    const cell = document.createElement("td");
    for (const { name, value } of heading.attributes) cell.setAttribute(name, value);
    heading.replaceWith(cell);
  }
  return fragment;
}
