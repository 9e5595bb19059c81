/** Says how a learner's program is kept, and offers the versions that there are of it. */

import { el } from "../dom.js";
import type { KeptDraft } from "../labs-wire.js";
import { timeOfDay } from "./clock.js";
import type { DraftState } from "./drafts.js";
import { button, source } from "./parts.js";
import type { Shelf } from "./shelf.js";

interface DraftViewOptions {
  shelf: Shelf;
  choose(mine: boolean): void;
  /** Bring a version back that was given up. */
  restore(code: string): void;
}

export class DraftView {
  readonly element: HTMLElement;
  readonly #options: DraftViewOptions;
  readonly #line = el("p", { className: "kept-line", role: "status" });
  readonly #conflict = el("div", { className: "conflict", role: "alert", hidden: true });
  readonly #versions = el("ol", { className: "versions", role: "list" });
  readonly #shelf: HTMLDetailsElement;

  constructor(options: DraftViewOptions) {
    this.#options = options;
    this.#shelf = el("details", { className: "other-versions", hidden: true }, el("summary", {}, "Other versions"), this.#versions);
    this.element = el("div", { className: "drafts" }, this.#conflict, this.#line, this.#shelf);
    this.showKept();
  }

  show(state: DraftState): void {
    this.#line.textContent = this.#sentence(state);
    this.#line.classList.toggle("bad", state.kind === "unsaved");
    if (state.kind === "conflict") this.#offer(state.other);
    else this.#conflict.hidden = true;
    this.showKept();
  }

  /** Show the versions that were given up. */
  showKept(): void {
    const { kept } = this.#options.shelf;
    this.#shelf.hidden = kept.length === 0;
    this.#versions.replaceChildren(
      ...kept.map(({ code, at }) => {
        const when = timeOfDay(at);
        const restore = button("Restore", () => this.#options.restore(code), { ariaLabel: `Restore the version of ${when}` });
        const drop = button("Delete", () => this.#drop(code), { ariaLabel: `Delete the version of ${when}` });
        return el("li", {}, el("p", {}, `Version of ${when} `, restore, " ", drop), program(code, `Version of ${when}`));
      }),
    );
  }

  #drop(code: string): void {
    this.#options.shelf.drop(code);
    this.showKept();
  }

  #sentence(state: DraftState): string {
    const here = this.#options.shelf.keeps ? "It is kept in this browser." : "Keep a copy: this browser keeps nothing.";
    switch (state.kind) {
      case "clean":
        return "";
      case "pending":
        return this.#options.shelf.keeps ? "Kept in this browser" : "Not saved yet";
      case "saved":
        return `Saved at ${timeOfDay(state.at)}`;
      case "followed":
        return `Another window saved a newer version at ${timeOfDay(state.at)}. It is shown here.`;
      case "conflict":
        return "";
      case "unsaved":
        if (state.status === 0) return `You are offline. ${here} It is saved when you are online again.`;
        return `Not saved at the service: ${state.detail} ${here}`;
    }
  }

  #offer(other: KeptDraft): void {
    const mine = button("Keep what is in the editor", () => this.#options.choose(true));
    const theirs = button("Take the other version", () => this.#options.choose(false));
    const when = timeOfDay(other.saved);
    this.#conflict.replaceChildren(
      el("p", {}, `There are two versions: the one in the editor, and one that another window saved at ${when}.`),
      el("p", {}, "Nothing is lost: the one that you do not take stays under “Other versions”."),
      program(other.code, "The other version"),
      el("p", { className: "choice" }, mine, " ", theirs),
    );
    this.#conflict.hidden = false;
  }
}

function program(code: string, name: string): HTMLElement {
  return el("details", {}, el("summary", {}, "Show it"), source(code, name));
}
