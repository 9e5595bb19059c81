/** The line that says how a program stands, and how its last run ended. */

import { el } from "./dom.js";
import type { Result } from "./wire.js";
import { outcome, usage } from "./words.js";

interface StatusOptions {
  /** What it says at first. */
  text?: string;
  /** Whether a screen reader is told of every change. */
  live?: boolean;
  /** Goes to a line of the program; without it, the number of the line is no link. */
  goTo?: (line: number) => void;
  /** Where time and memory of a run are said; without it, behind the rest. */
  usage?: HTMLElement;
}

export class Status {
  readonly element: HTMLElement;
  readonly #options: StatusOptions;

  constructor(options: StatusOptions = {}) {
    this.#options = options;
    this.element = el("span", { className: "state", ...(options.live ? { role: "status" } : {}) }, options.text ?? "");
  }

  say(kind: "" | "busy" | "good" | "bad", text: string): void {
    this.element.className = `state ${kind}`;
    this.element.replaceChildren(text);
  }

  /** Say how a run ended, and on which line it failed, where that is known. */
  ended(result: Result, line: number | null): void {
    this.say(result.status === "success" ? "good" : "bad", outcome(result));
    if (line !== null) this.element.append(" on ", this.#place(line));
    if (this.#options.usage) this.#options.usage.textContent = usage(result);
    else this.element.append(` · ${usage(result)}`);
  }

  #place(line: number): Node | string {
    const { goTo } = this.#options;
    const text = `line ${line}`;
    return goTo ? el("button", { type: "button", className: "link", onclick: () => goTo(line) }, text) : text;
  }
}
