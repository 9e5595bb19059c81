/** How long a program has been running, while it does. */

import { el } from "./dom.js";
import { duration } from "./words.js";

export class Stopwatch {
  readonly element = el("span", { className: "time", ariaHidden: "true" });
  #began: number | null = null;
  #timer = 0;

  get running(): boolean {
    return this.#began !== null;
  }

  start(): void {
    this.stop();
    const began = performance.now();
    this.#began = began;
    this.#timer = window.setInterval(() => this.#show(performance.now() - began), 100);
  }

  /** Stop, and show nothing. */
  stop(): void {
    clearInterval(this.#timer);
    this.#began = null;
    this.element.textContent = "";
  }

  #show(ms: number): void {
    this.element.textContent = ms < 300 ? "" : duration(ms);
  }
}
