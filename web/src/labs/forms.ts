/** Fields, buttons and what is said of them, for the pages of teachers. */

import { el } from "../dom.js";
import { button } from "./parts.js";

type Control = HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement;

/** A control with its label; `wide`: it takes all of the line. */
export function field(label: string, control: Control, hint = "", wide = false): HTMLElement {
  return el("label", { className: wide ? "all" : "" }, label, ...(hint ? [" ", el("small", {}, hint)] : []), control);
}

export function select(options: readonly (readonly [value: string, text: string])[], properties: Record<string, unknown> = {}): HTMLSelectElement {
  const made = el("select", properties);
  made.append(...options.map(([value, text]) => el("option", { value }, text)));
  return made;
}

export function fields(...content: Node[]): HTMLElement {
  return el("div", { className: "fields" }, ...content);
}

export function actions(...content: Node[]): HTMLElement {
  return el("div", { className: "actions" }, ...content);
}

/** The line below some buttons, which says what came of them. */
export class Said {
  readonly element = el("p", { className: "said", role: "status" });

  say(text: string): void {
    this.element.className = "said";
    this.element.textContent = text;
  }

  fail(error: unknown): void {
    this.element.className = "said bad";
    this.element.textContent = error instanceof Error ? error.message : String(error);
  }

  /** A button that does something which takes a while; what goes wrong is said. */
  button(text: string, action: () => Promise<string | void>, properties: Record<string, unknown> = {}): HTMLButtonElement {
    const made = button(text, () => void this.during(action, made), properties);
    return made;
  }

  async during(action: () => Promise<string | void>, button?: HTMLButtonElement): Promise<void> {
    if (button) button.ariaDisabled = "true";
    this.say("Working …");
    try {
      this.say((await action()) ?? "");
    } catch (error) {
      this.fail(error);
    }
    if (button) button.ariaDisabled = "false";
  }
}

/** A table that scrolls by itself where the screen is narrow. */
export function table(caption: string, heads: readonly string[], rows: readonly (readonly (Node | string)[])[]): HTMLElement {
  const head = el("tr", {}, ...heads.map((text) => el("th", { scope: "col" }, text)));
  const body = rows.map((cells) => el("tr", {}, ...cells.map((cell) => (cell instanceof HTMLTableCellElement ? cell : el("td", {}, cell)))));
  return el(
    "div",
    { className: "wide", role: "group", tabIndex: 0, ariaLabel: caption },
    el("table", {}, el("caption", { className: "spoken" }, caption), el("thead", {}, head), el("tbody", {}, ...body)),
  );
}

/** What a list of words, separated by commas, has. */
export function listOf(text: string): string[] {
  return text.split(",").map((each) => each.trim()).filter(Boolean);
}
