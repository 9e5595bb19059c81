/** The bar above a program: its name, and Reset, Stop and Run. */

import { el, icon } from "./dom.js";

const PLAY = "M4 2.6v10.8a.6.6 0 0 0 .9.5l9-5.4a.6.6 0 0 0 0-1l-9-5.4a.6.6 0 0 0-.9.5Z";
const SQUARE = "M4.5 3h7A1.5 1.5 0 0 1 13 4.5v7a1.5 1.5 0 0 1-1.5 1.5h-7A1.5 1.5 0 0 1 3 11.5v-7A1.5 1.5 0 0 1 4.5 3Z";
const BACK = "M8 2.5a5.5 5.5 0 1 1-5.2 3.7.75.75 0 0 1 1.4.5A4 4 0 1 0 8 4H6.3l1 1a.75.75 0 1 1-1.1 1.1L3.9 3.8a.75.75 0 0 1 0-1.1L6.2.4a.75.75 0 0 1 1.1 1.1l-1 1H8Z";

interface Actions {
  run(): void;
  stop(): void;
  reset(): void;
}

export class Toolbar {
  readonly element: HTMLElement;
  readonly #reset: HTMLButtonElement;
  readonly #stop: HTMLButtonElement;
  readonly #run: HTMLButtonElement;

  constructor(actions: Actions) {
    const button = (part: string, properties: Record<string, unknown>, path: string, text: string) =>
      el("button", { type: "button", part, ...properties }, icon(path), el("span", {}, text));
    const { run, stop, reset } = actions;
    const back = "Back to the starter code";
    const start = "Run the program (Ctrl-Enter or ⌘-Enter)";
    this.#reset = button("reset", { className: "quiet", title: back, onclick: reset }, BACK, "Reset");
    this.#stop = button("stop", { className: "stop", hidden: true, onclick: stop }, SQUARE, "Stop");
    this.#run = button("run", { className: "run", title: start, onclick: run }, PLAY, "Run");
    const name = el("span", { className: "name" }, "main.py");
    this.element = el("div", { className: "bar", part: "toolbar" }, name, this.#reset, this.#stop, this.#run);
  }

  set resettable(on: boolean) {
    this.#reset.disabled = !on;
  }

  /** A button that cannot be used now keeps its place in the tab order. */
  set runnable(on: boolean) {
    this.#run.ariaDisabled = String(!on);
  }

  set stoppable(on: boolean) {
    if (!on && this.#stop.matches(":focus")) this.#run.focus();
    this.#stop.hidden = !on;
  }
}
