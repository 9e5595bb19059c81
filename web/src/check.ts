/** Asks the service what is wrong with a program, sparingly. */

import type { Addresses } from "./addresses.js";
import type { CheckRequest, CheckResponse, Problem } from "./wire.js";

export class Checker {
  #abort = new AbortController();
  #notBefore = 0;

  /** The problems of `code`; none where the service does not say. A newer question ends an older one. */
  async check(addresses: Addresses, code: string): Promise<Problem[]> {
    this.#abort.abort();
    this.#abort = new AbortController();
    if (!code.trim() || performance.now() < this.#notBefore) return [];
    try {
      const response = await fetch(addresses.check, {
        method: "POST",
        headers: addresses.headers(),
        body: JSON.stringify({ code } satisfies CheckRequest),
        signal: this.#abort.signal,
      });
      if (response.ok) return ((await response.json()) as CheckResponse).problems;
      const wait = response.status === 404 || response.status === 405 ? Infinity : Number(response.headers.get("Retry-After"));
      this.#notBefore = performance.now() + 1000 * (wait || 5);
    } catch {
      // superseded, or offline: the run itself will say so
    }
    return [];
  }
}
