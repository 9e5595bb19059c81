/** One cell of a notebook: an editor, and under it what the cell wrote when it ran. */

import { Checker } from "./check.js";
import { Console } from "./console.js";
import { el } from "./dom.js";
import { Editor } from "./editor.js";
import type { Addresses, Failure, Result, RunEvent } from "./wire.js";
import { outcome, sentence, usage } from "./words.js";

/** What a cell asks of its notebook. */
export interface Notebook {
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
  readonly #state = el("span", { className: "state" });
  readonly #console: Console;
  #wrote = ""; // to stderr, so far

  constructor(notebook: Notebook, code: string) {
    this.#console = new Console({
      line: (text) => notebook.input(text),
      interrupt: () => notebook.interrupt(),
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
        this.#state,
        button("Run", "Run this cell (Ctrl-Enter; Shift-Enter goes on to the next)", () => notebook.run(this)),
        button("Up", "Move this cell up", () => notebook.move(this, -1)),
        button("Down", "Move this cell down", () => notebook.move(this, 1)),
        button("Delete", "Delete this cell", () => notebook.remove(this)),
      ),
      box,
      this.#console.element,
    );
    this.editor = new Editor({
      parent: box,
      root: notebook.root,
      changed: () => notebook.changed(),
      run: () => notebook.run(this),
      runAndGoOn: () => notebook.runAndGoOn(this),
      check: (text) => this.#checker.check(notebook.addresses(), text),
    });
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

  /** Its turn will come; or, `off`, it will not. */
  wait(off = false): void {
    this.#say(off ? "" : "busy", off ? "" : "Waiting for its turn");
    if (!off) this.#number.textContent = "In [*]";
    else this.forget();
  }

  /** The session that it was run in is no more. */
  forget(): void {
    this.#number.textContent = "In [ ]";
  }

  begin(): void {
    this.#wrote = "";
    this.#number.textContent = "In [*]";
    this.#console.clear();
    this.editor.markLine(null);
    this.editor.showProblems([]);
    this.#say("busy", "Running");
  }

  /** Take an event of the run; `number` is the cell's in its session. */
  take(event: RunEvent, number: number): void {
    switch (event.type) {
      case "stdout":
      case "stderr":
        if (event.type === "stderr") this.#wrote += event.data;
        this.#console.write(event.type, event.data);
        break;
      case "waiting":
        this.#say("busy", "Waiting for input");
        this.#console.openPrompt(this.element.matches(":focus-within") || !this.element.parentElement?.matches(":focus-within"));
        break;
      case "display":
        this.#console.display(event);
        break;
      case "result":
        this.#number.textContent = `In [${number}]`;
        this.#finish(event);
        break;
      case "problem":
        this.#fail(event);
        break;
    }
  }

  #finish(result: Result): void {
    this.#console.closePrompt();
    const said = sentence(result, this.#wrote);
    if (said) this.#console.note(said, "refusal");
    this.editor.showProblems(result.problems);
    const good = result.status === "success";
    const line = result.line ?? result.problems[0]?.line ?? null;
    this.editor.markLine(good ? null : line);
    this.#say(good ? "good" : "bad", `${outcome(result)}${good || line === null ? "" : ` on line ${line}`} · ${usage(result)}`);
  }

  #fail(failure: Failure): void {
    this.#console.closePrompt();
    this.forget();
    this.#console.note(failure.detail, "refusal");
    this.#say("bad", failure.title);
  }

  #say(kind: "" | "busy" | "good" | "bad", text: string): void {
    this.#state.className = `state ${kind}`;
    this.#state.textContent = text;
  }
}
