/** The hints of a lab, which a learner takes one after the other. */

import { el } from "../dom.js";
import type { GivenHint, LabView } from "../labs-wire.js";
import { markdown } from "./markdown.js";

interface HintsOptions {
  /** Takes a hint from the service. */
  ask(number: number): Promise<GivenHint>;
  /** Hears which was taken. */
  told(number: number): void;
}

export class Hints {
  readonly element: HTMLElement;
  readonly #list = el("ol", { role: "list", ariaLive: "polite" });
  readonly #more = el("button", { type: "button", onclick: () => void this.#take() });
  readonly #problem = el("p", { className: "bad", role: "alert" });
  readonly #all: number;
  readonly #ask: HintsOptions["ask"];
  readonly #told: HintsOptions["told"];
  #given: number;

  constructor(view: Pick<LabView, "hints" | "given">, { ask, told }: HintsOptions) {
    this.#all = view.hints;
    this.#ask = ask;
    this.#told = told;
    this.#given = view.given.length;
    for (const hint of view.given) this.#add(hint);
    this.element = el("section", { className: "hints", ariaLabel: "Hints" }, el("h2", {}, "Hints"), this.#list, this.#more, this.#problem);
    this.#showMore();
  }

  async #take(): Promise<void> {
    const number = this.#given + 1;
    this.#more.disabled = true;
    this.#problem.textContent = "";
    try {
      this.#add(await this.#ask(number));
      this.#given = number;
      this.#told(number);
    } catch (error) {
      this.#problem.textContent = (error as Error).message;
    }
    this.#more.disabled = false;
    this.#showMore();
  }

  #add({ number, text }: GivenHint): void {
    const body = el("div", { tabIndex: -1 });
    body.append(markdown(text, 3));
    this.#list.append(el("li", {}, el("strong", {}, `Hint ${number}`), body));
    if (!this.#more.isConnected) return;
    body.focus(); // the button may go
  }

  #showMore(): void {
    this.#more.hidden = this.#given >= this.#all;
    this.#more.textContent = `Show hint ${this.#given + 1} of ${this.#all}`;
  }
}
