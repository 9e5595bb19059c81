/** Elements in one line. */

type Properties = Record<string, unknown>;

/** Make an element. `on…` properties are listeners, known properties are set, everything else is an attribute. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Properties = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value as EventListener);
    else if (name in element) (element as unknown as Properties)[name] = value;
    else element.setAttribute(name, String(value));
  }
  element.append(...children);
  return element;
}

const sheets = new Map<string, CSSStyleSheet>();

/** A constructed style sheet: a page's Content-Security-Policy has nothing against those. */
export function styleSheet(text: string): CSSStyleSheet {
  let sheet = sheets.get(text);
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(text);
    sheets.set(text, sheet);
  }
  return sheet;
}

const SVG = "http://www.w3.org/2000/svg";

/** A 16 × 16 icon from one path; nothing to a screen reader. */
export function icon(path: string): SVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS(SVG, "path");
  shape.setAttribute("d", path);
  svg.append(shape);
  return svg;
}

/** What a program made is bytes to a browser: as a page, it would be one of ours if a reader opened it in a tab. */
export const DOWNLOAD = "application/octet-stream";

export function blobUrl(base64: string, type: string): string {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type }));
}

/**
 * A program's SVG as the source of an image, where it runs no scripts and loads nothing.
 *
 * Not as a blob, which would belong to this page's origin if a reader opened the picture in a tab of its own.
 */
export function svgUrl(content: string): string {
  const named = content.replace(/<svg(?![^>]*\sxmlns=)/i, `<svg xmlns="${SVG}"`); // inside HTML it needs no name
  return `data:image/svg+xml,${encodeURIComponent(named)}`;
}
