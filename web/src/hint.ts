/** The first of a program's mistakes, below the editor, while the program is typed. */

import { el } from "./dom.js";
import type { Problem } from "./wire.js";

export class Hint {
  readonly element = el("p", { className: "hint", role: "status", hidden: true });

  show(problems: readonly Problem[]): void {
    const [first, ...more] = problems;
    this.element.hidden = !first;
    this.element.textContent = first
      ? `Line ${first.line}: ${first.message}${more.length > 0 ? ` (and ${more.length} more)` : ""}`
      : "";
  }
}
