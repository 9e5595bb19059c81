/** The bar above a program: its name, and Reset, Stop, Check my work and Run. */

import { el, icon } from "./dom.js";

const PLAY = "M4 2.6v10.8a.6.6 0 0 0 .9.5l9-5.4a.6.6 0 0 0 0-1l-9-5.4a.6.6 0 0 0-.9.5Z";
const SQUARE = "M4.5 3h7A1.5 1.5 0 0 1 13 4.5v7a1.5 1.5 0 0 1-1.5 1.5h-7A1.5 1.5 0 0 1 3 11.5v-7A1.5 1.5 0 0 1 4.5 3Z";
const BACK = "M8 2.5a5.5 5.5 0 1 1-5.2 3.7.75.75 0 0 1 1.4.5A4 4 0 1 0 8 4H6.3l1 1a.75.75 0 1 1-1.1 1.1L3.9 3.8a.75.75 0 0 1 0-1.1L6.2.4a.75.75 0 0 1 1.1 1.1l-1 1H8Z";
const LIST = "M2.5 3.2 3.6 4.3l2-2.2a.7.7 0 0 1 1 1L4.1 5.8a.7.7 0 0 1-1 0L1.5 4.2a.7.7 0 0 1 1-1ZM8 3.2h6v1.6H8V3.2Zm0 4h6v1.6H8V7.2Zm0 4h6v1.6H8v-1.6ZM2 7.2h4v1.6H2V7.2Zm0 4h4v1.6H2v-1.6Z";

interface Actions {
  run(): void;
  check(): void;
  stop(): void;
  reset(): void;
}

export class Toolbar {
  readonly element: HTMLElement;
  readonly #reset: HTMLButtonElement;
  readonly #stop: HTMLButtonElement;
  readonly #check: HTMLButtonElement;
  readonly #run: HTMLButtonElement;
  #begun: HTMLButtonElement | null = null; // the button that what can be stopped was begun with

  constructor(actions: Actions) {
    const button = (part: string, properties: Record<string, unknown>, path: string, text: string) =>
      el("button", { type: "button", part, ...properties }, icon(path), el("span", {}, text));
    const { stop, reset } = actions;
    const begin = (button: HTMLButtonElement, action: () => void) => () => {
      this.#begun = button;
      action();
    };
    const back = "Back to the starter code";
    const start = "Run the program (Ctrl-Enter or ⌘-Enter)";
    this.#reset = button("reset", { className: "quiet", title: back, onclick: reset }, BACK, "Reset");
    this.#stop = button("stop", { className: "stop", hidden: true, onclick: stop }, SQUARE, "Stop");
    const grade = "Try the program with the tests of this task";
    this.#check = button("check", { className: "check", title: grade, hidden: true }, LIST, "Check my work");
    this.#check.addEventListener("click", begin(this.#check, () => actions.check()));
    this.#run = button("run", { className: "run", title: start }, PLAY, "Run");
    this.#run.addEventListener("click", begin(this.#run, () => actions.run()));
    const name = el("span", { className: "name" }, "main.py");
    this.element = el("div", { className: "bar", part: "toolbar" }, name, this.#reset, this.#stop, this.#check, this.#run);
  }

  set resettable(on: boolean) {
    this.#reset.disabled = !on;
  }

  /** A button that cannot be used now keeps its place in the tab order. */
  set runnable(on: boolean) {
    this.#run.ariaDisabled = this.#check.ariaDisabled = String(!on);
  }

  /** Whether there are tests. */
  set checkable(on: boolean) {
    this.#check.hidden = !on;
  }

  set stoppable(on: boolean) {
    if (!on && this.#stop.matches(":focus")) (this.#begun ?? this.#run).focus();
    this.#stop.hidden = !on;
  }
}
