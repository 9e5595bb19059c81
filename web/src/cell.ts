/** One cell of a notebook: an editor, and under it what the cell wrote when it ran. */

import type { Addresses } from "./addresses.js";
import { Checker } from "./check.js";
import { el } from "./dom.js";
import { Editor } from "./editor.js";
import type { RunEvent } from "./run.js";
import { RunView } from "./run-view.js";
import { Status } from "./status.js";

/** What a cell asks of the notebook that it is in. */
export interface CellHost {
  readonly root: ShadowRoot;
  addresses(): Addresses;
  changed(): void;
  run(cell: Cell): void;
  runAndGoOn(cell: Cell): void;
  move(cell: Cell, by: number): void;
  remove(cell: Cell): void;
  input(text: string): void;
  interrupt(): void;
}

export class Cell {
  readonly element: HTMLElement;
  readonly editor: Editor;
  readonly #checker = new Checker();
  readonly #number = el("span", { className: "number" }, "In [ ]");
  readonly #status = new Status();
  readonly #view: RunView;

  constructor(host: CellHost, code: string) {
    this.#view = new RunView({
      status: this.#status,
      typing: { line: (text) => host.input(text), interrupt: () => host.interrupt() },
      // who writes in another cell meanwhile stays there
      mayFocus: () => this.element.matches(":focus-within") || !this.element.parentElement?.matches(":focus-within"),
    });
    const button = (text: string, title: string, onclick: () => void) => el("button", { type: "button", title, onclick }, text);
    const box = el("div", { className: "editor" });
    this.element = el(
      "div",
      { className: "cell", role: "group" },
      el(
        "div",
        { className: "head" },
        this.#number,
        this.#status.element,
        button("Run", "Run this cell (Ctrl-Enter; Shift-Enter goes on to the next)", () => host.run(this)),
        button("Up", "Move this cell up", () => host.move(this, -1)),
        button("Down", "Move this cell down", () => host.move(this, 1)),
        button("Delete", "Delete this cell", () => host.remove(this)),
      ),
      box,
      this.#view.console.element,
    );
    this.editor = new Editor({
      parent: box,
      root: host.root,
      changed: () => host.changed(),
      run: () => host.run(this),
      runAndGoOn: () => host.runAndGoOn(this),
      check: (text) => this.#checker.check(host.addresses(), text),
    });
    this.#view.editor = this.editor;
    this.editor.open(code);
  }

  get code(): string {
    return this.editor.code;
  }

  /** Its place among the cells, for those who do not see it. */
  set place(number: number) {
    this.element.ariaLabel = `Cell ${number}`;
  }

  focus(): void {
    this.editor.view.focus();
    this.element.scrollIntoView({ block: "nearest" });
  }

  /** Its turn will come. */
  enqueue(): void {
    this.#status.say("busy", "Waiting for its turn");
    this.#number.textContent = "In [*]";
  }

  /** Its turn will not come. */
  dequeue(): void {
    this.#status.say("", "");
    this.forget();
  }

  /** The session that it was run in is no more. */
  forget(): void {
    this.#number.textContent = "In [ ]";
  }

  begin(): void {
    this.#number.textContent = "In [*]";
    this.#view.begin();
    this.#status.say("busy", "Running");
  }

  /** Take an event of the run; `number` is the cell's in its session. */
  take(event: RunEvent, number: number): void {
    this.#view.show(event);
    if (event.type === "result") {
      this.#number.textContent = `In [${number}]`;
      this.#view.finish(event);
    } else if (event.type === "problem") {
      this.forget();
      this.#view.fail(event);
    }
  }
}
