/** "3 of 10 runs left this minute": what the rate limit still allows, counted down between the service's answers. */

import type { Rate } from "./wire.js";

/** What is left of the rate limit; an answer over HTTP may not say how long the window is. */
export type RateLeft = Omit<Rate, "window"> & Partial<Pick<Rate, "window">>;

/** What the headers of an answer say of the rate limit; null where there is none. */
export function rateOf(headers: Headers): RateLeft | null {
  const limit = headers.get("RateLimit-Limit");
  if (limit === null) return null;
  const window = /;\s*w=(\d+)/.exec(headers.get("RateLimit-Policy") ?? "")?.[1];
  return {
    limit: Number(limit),
    remaining: Number(headers.get("RateLimit-Remaining")),
    reset: Number(headers.get("RateLimit-Reset")),
    ...(window === undefined ? {} : { window: Number(window) }),
  };
}

export class Allowance {
  readonly #show: () => void;
  #rate: RateLeft | null = null;
  #refused = false;
  #freeAt = 0;
  #timer = 0;

  /** `show` is called when what this says has changed. */
  constructor(show: () => void) {
    this.#show = show;
  }

  update(rate: RateLeft): void {
    this.#rate = rate;
    this.#wait(rate.reset);
  }

  /** The service has refused a run, and says when to come again. */
  refuse(seconds: number): void {
    this.#refused = true;
    this.#wait(seconds);
  }

  /** Whether another run would be refused now. */
  get exhausted(): boolean {
    return this.#refused || this.#rate?.remaining === 0;
  }

  get text(): string {
    const seconds = Math.max(1, Math.ceil((this.#freeAt - performance.now()) / 1000));
    const period = this.#rate?.window === 60 ? " this minute" : "";
    if (this.exhausted) return `No runs left${period}, again in ${seconds} s`;
    if (!this.#rate) return "";
    const { remaining, limit } = this.#rate;
    return `${remaining} of ${limit} runs left${period}`;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #wait(seconds: number): void {
    this.#freeAt = performance.now() + 1000 * seconds;
    clearInterval(this.#timer);
    this.#timer = window.setInterval(() => this.#tick(), 500);
    this.#show();
  }

  #tick(): void {
    if (performance.now() < this.#freeAt) {
      if (this.exhausted) this.#show();
      return;
    }
    // one more is free now; what follows only the service knows, and says with the next run
    this.stop();
    this.#refused = false;
    this.#rate = null;
    this.#show();
  }
}
