/** Time that a test moves: `performance.now()`, and the timers of a page's `window`. */

import type { TestContext } from "node:test";

interface Timer {
  at: number;
  /** Milliseconds between two calls; null: there is one. */
  every: number | null;
  call: () => void;
}

export class Clock {
  #now = 1000;
  #last = 0;
  readonly #timers = new Map<number, Timer>();

  /** Stop time until the test is over. (The timers that `test.mock` has cannot be cleared while they are called.) */
  constructor(test: TestContext) {
    const clear = (id: number | undefined): void => void this.#timers.delete(id ?? 0);
    test.mock.method(performance, "now", () => this.#now);
    test.mock.method(globalThis, "clearTimeout", clear);
    test.mock.method(globalThis, "clearInterval", clear);
    const window = {
      setTimeout: (call: () => void, ms: number) => this.#set(call, ms, null),
      setInterval: (call: () => void, ms: number) => this.#set(call, ms, ms),
    };
    Object.assign(globalThis, { window });
  }

  /** Let time go by, and call what is due, in its order. */
  pass(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const [id, next] = [...this.#timers].sort(([, one], [, other]) => one.at - other.at)[0] ?? [0, undefined];
      if (!next || next.at > end) break;
      this.#now = next.at;
      if (next.every === null) this.#timers.delete(id);
      else next.at += next.every;
      next.call();
    }
    this.#now = end;
  }

  #set(call: () => void, ms: number, every: number | null): number {
    this.#timers.set(++this.#last, { at: this.#now + ms, every, call });
    return this.#last;
  }
}
