/** What a program writes, draws and makes, in the order in which it does, and the line where it is given its input. */

import { blobUrl, DOWNLOAD, el, svgUrl } from "./dom.js";
import { sanitize } from "./sanitize.js";
import type { Display, OutputFile } from "./wire.js";
import { bytes } from "./words.js";

/** `note` and `refusal` are said by the page or the service, the latter where something is wrong. */
type Style = "stdout" | "stderr" | "stdin" | "note" | "refusal";

export interface Typing {
  line(text: string): void;
  /** Not there: its input cannot be ended. */
  end?(): void;
  interrupt(): void;
}

const ESCAPES = /\x1b\[[0-9;?]*[A-Za-z]/g; // colours and cursor movements are for terminals
const LARGEST_TEXT = 1 << 20; // characters of HTML and other texts
/** What the texts are called that are shown as they are written. */
const SOURCES = { "text/markdown": "Markdown", "text/latex": "LaTeX", "application/json": "JSON" };
const PIECE = 8192; // characters in one element, about: the browser lays a short one out faster

export class Console {
  readonly element: HTMLElement;
  readonly #log = el("div", { className: "log", role: "log", ariaLabel: "What the program wrote" });
  readonly #field = el("input", {
    type: "text",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: false,
    enterKeyHint: "send",
    ariaLabel: "Input for the program",
  });
  readonly #prompt: HTMLFormElement;
  readonly #files = el("ul", { className: "files", ariaLabel: "Files the program made", hidden: true });
  #pending: [Style, string][] = [];
  #frame = 0;
  #last: { style: Style; text: Text } | null = null;
  #returned = false; // a carriage return came last: what follows overwrites the line
  #pictures = 0;
  #urls: string[] = [];

  constructor(typing: Typing) {
    this.#prompt = el(
      "form",
      {
        className: "prompt",
        hidden: true,
        onsubmit: (event: Event) => {
          event.preventDefault();
          this.#enter(typing, `${this.#field.value}\n`);
        },
      },
      this.#field,
      el("button", { type: "submit", className: "small" }, "Enter"),
      ...(typing.end
        ? [el("button", { type: "button", className: "small", title: "No more input (Ctrl-D)", onclick: () => typing.end?.() }, "End")]
        : []),
    );
    this.#field.addEventListener("keydown", (event) => {
      if (!event.ctrlKey || event.altKey || event.metaKey) return;
      if (event.key === "d" && !this.#field.value) typing.end?.();
      else if (event.key === "c" && this.#field.selectionStart === this.#field.selectionEnd) typing.interrupt();
      else return;
      event.preventDefault();
    });
    this.#field.addEventListener("paste", (event) => {
      const lines = (event.clipboardData?.getData("text") ?? "").split(/(?<=\n)/);
      if (lines.length < 2) return; // one line goes into the field, as ever
      event.preventDefault();
      const rest = lines.at(-1)?.endsWith("\n") ? "" : (lines.pop() ?? "");
      this.#enter(typing, this.#field.value + lines.join(""));
      this.#field.value = rest;
    });
    this.element = el(
      "div",
      { className: "console", part: "output", role: "group", ariaLabel: "Output", tabIndex: 0, hidden: true },
      this.#log,
      this.#prompt,
      this.#files,
    );
  }

  #enter(typing: Typing, text: string): void {
    this.write("stdin", text);
    typing.line(text);
    this.#field.value = "";
  }

  clear(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#pending = [];
    this.#last = null;
    this.#returned = false;
    this.#pictures = 0;
    this.#log.replaceChildren();
    this.#files.replaceChildren();
    this.#files.hidden = true;
    this.#urls.splice(0).forEach(URL.revokeObjectURL);
    this.closePrompt();
    this.element.hidden = true;
  }

  /** Whether nothing has been written yet. */
  get empty(): boolean {
    return this.#pending.length === 0 && this.#log.childNodes.length === 0;
  }

  write(style: Style, text: string): void {
    this.#pending.push([style, text]);
    // many small pieces cost one layout; a hidden page gets no frames, and is written to at once
    if (document.hidden) this.#flush();
    else this.#frame ||= requestAnimationFrame(() => this.#flush());
  }

  /** Say something that the program did not. */
  note(text: string, style: "note" | "refusal" = "note"): void {
    this.#flush();
    if (this.#last && !this.#last.text.data.endsWith("\n")) this.write(style, "\n");
    this.write(style, `${text}\n`);
  }

  display(display: Display): void {
    if ("content" in display && display.mediaType !== "image/svg+xml" && display.content.length > LARGEST_TEXT) {
      this.note(`${display.mediaType === "text/html" ? "The table" : "The text"} is too large to be shown.`);
      return;
    }
    this.#append(this.#shown(display));
  }

  #shown(display: Display): HTMLElement {
    switch (display.mediaType) {
      case "text/html":
        return el("div", { className: "markup", tabIndex: 0, role: "group", ariaLabel: "Table" }, sanitize(display.content));
      case "text/markdown":
      case "text/latex":
      case "application/json":
        return el("pre", { className: "source", tabIndex: 0, role: "group", ariaLabel: SOURCES[display.mediaType] }, display.content);
      case "image/svg+xml":
        return this.#picture(svgUrl(display.content));
      default:
        return this.#picture(this.#url(display.contentBase64, display.mediaType === "image/jpeg" ? "image/jpeg" : "image/png"));
    }
  }

  #picture(src: string): HTMLElement {
    this.#flush();
    const atEnd = this.#atEnd;
    return el("img", {
      src,
      alt: `Picture ${++this.#pictures} that the program drew`,
      onload: () => atEnd && this.#scrollToEnd(), // it has a height only now
    });
  }

  file(file: OutputFile): void {
    const link = el("a", { href: this.#url(file.contentBase64, DOWNLOAD), download: file.path.split("/").at(-1) }, file.path);
    this.#files.append(el("li", {}, link, ` ${bytes(file.size)}`));
    this.#files.hidden = false;
    this.element.hidden = false;
  }

  /** Show the line for input, which stays until `closePrompt`: what is typed early waits for the program. */
  openPrompt(focus: boolean): void {
    this.#flush();
    this.element.hidden = false;
    const question = this.#last?.style === "stdout" ? this.#last.text.data.split("\n").at(-1)?.trim() : "";
    this.#field.ariaLabel = question || "Input for the program";
    if (!this.#prompt.hidden) return;
    this.#prompt.hidden = false;
    if (focus) this.#field.focus();
    this.#prompt.scrollIntoView({ block: "nearest" });
  }

  closePrompt(): void {
    const focused = this.#prompt.matches(":focus-within");
    this.#prompt.hidden = true;
    this.#field.value = "";
    if (focused) this.element.focus();
  }

  #url(base64: string, type: string): string {
    const url = blobUrl(base64, type);
    this.#urls.push(url);
    return url;
  }

  #append(node: Node): void {
    this.#flush();
    this.element.hidden = false;
    this.#stayAtEnd(() => this.#log.append(node));
    this.#last = null;
  }

  #flush(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (this.#pending.length === 0) return;
    this.element.hidden = false;
    this.#stayAtEnd(() => {
      for (const [style, text] of this.#pending.splice(0)) this.#put(style, text.replace(ESCAPES, ""));
    });
  }

  #put(style: Style, text: string): void {
    const [first = "", ...overwriting] = (this.#returned ? `\r${text}` : text).replaceAll("\r\n", "\n").split("\r");
    this.#returned = overwriting.at(-1) === "";
    if (this.#returned) overwriting.pop();
    this.#extend(style, first);
    for (const line of overwriting) {
      if (this.#last) this.#last.text.data = this.#last.text.data.slice(0, this.#last.text.data.lastIndexOf("\n") + 1);
      this.#extend(style, line);
    }
  }

  #extend(style: Style, text: string): void {
    if (!text) return;
    const last = this.#last;
    if (last?.style === style && !(last.text.length > PIECE && last.text.data.endsWith("\n"))) {
      last.text.appendData(text);
      return;
    }
    const node = new Text(text);
    this.#log.append(el("span", { className: style }, node));
    this.#last = { style, text: node };
  }

  get #atEnd(): boolean {
    return this.element.scrollHeight - this.element.scrollTop - this.element.clientHeight < 8;
  }

  #scrollToEnd(): void {
    this.element.scrollTop = this.element.scrollHeight;
  }

  /** Follow what is written, unless the reader has scrolled back. */
  #stayAtEnd(change: () => void): void {
    const atEnd = this.#atEnd;
    change();
    if (atEnd) this.#scrollToEnd();
  }
}
