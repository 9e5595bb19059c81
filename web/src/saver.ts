/** Saves what is typed: a moment after the last key, or at once. */

const SAVE_AFTER = 300; // ms without a key

export class Saver {
  readonly #save: () => void;
  #timer = 0;

  constructor(save: () => void) {
    this.#save = save;
  }

  later(): void {
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.now(), SAVE_AFTER);
  }

  now(): void {
    clearTimeout(this.#timer);
    this.#save();
  }
}
