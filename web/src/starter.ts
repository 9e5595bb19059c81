/** The code that a page puts between the tags, and the learner's own version of it. */

/** Read it: from a `<script type="text/x-python">`, where `<` needs no escape, or else from the text. */
export function readStarter(element: Element): string {
  const script = element.querySelector('script[type="text/x-python"], template');
  const text = script instanceof HTMLTemplateElement ? script.content.textContent : (script ?? element).textContent;
  return dedent(text ?? "");
}

/** Take off the indentation that all lines share, and the empty lines around. */
export function dedent(text: string): string {
  const lines = text.replace(/^(?:[ ]*\r?\n)+/, "").trimEnd().split(/\r?\n/);
  const margin = Math.min(...lines.filter((line) => line.trim()).map((line) => line.search(/\S/)));
  return Number.isFinite(margin) ? lines.map((line) => line.slice(margin)).join("\n") : "";
}

/** A short fingerprint (FNV-1a), so that a page that changes its starter code shows the new one. */
function fingerprint(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(36);
}

/** Local storage for one program. Where the browser keeps none (a sandboxed frame, private mode), nothing is kept. */
export class Draft {
  readonly #key: string;

  constructor(name: string | null, starter: string) {
    this.#key = `run-code:${name ?? `${location.pathname}:${fingerprint(starter)}`}`;
  }

  load(): string | null {
    try {
      return localStorage.getItem(this.#key);
    } catch {
      return null;
    }
  }

  /** Keep `code`; null forgets it. */
  save(code: string | null): void {
    try {
      if (code === null) localStorage.removeItem(this.#key);
      else localStorage.setItem(this.#key, code);
    } catch {
      // full, or not allowed: the code is still in the editor
    }
  }
}
