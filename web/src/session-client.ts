/** A session of the service, as a page uses it: an interpreter that lives on between the cells that are sent to it. */

import { type Failure, failureOf, UNREACHABLE } from "./failure.js";
import { type Listener, stream } from "./run.js";
import type { CellRequest, InputRequest, SessionInfo } from "./wire.js";

export class SessionClient {
  readonly #address: URL;
  /** Seconds without a cell after which it ends. */
  readonly idleTimeout: number;

  private constructor(address: URL, idleTimeout: number) {
    this.#address = address;
    this.idleTimeout = idleTimeout;
  }

  /** Open one, or say why there is none. */
  static async open(sessions: URL): Promise<SessionClient | Failure> {
    try {
      const response = await fetch(sessions, { method: "POST" });
      if (!response.ok) return await failureOf(response);
      const { id, idleTimeout } = (await response.json()) as SessionInfo;
      return new SessionClient(new URL(`${sessions.pathname}/${id}`, sessions), idleTimeout);
    } catch {
      return UNREACHABLE;
    }
  }

  /** Run a cell; the listener's last event is a `result` or a `problem`. */
  run(code: string, listener: Listener): Promise<void> {
    return stream(this.#at("cells"), { code } satisfies CellRequest, listener);
  }

  input(data: string): void {
    void fetch(this.#at("stdin"), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ data } satisfies InputRequest),
    }).catch(() => undefined); // the stream of the cell tells of a lost connection
  }

  interrupt(): void {
    void fetch(this.#at("interrupt"), { method: "POST" }).catch(() => undefined);
  }

  /** Whether it is still there; true where nobody can be asked. */
  async lives(): Promise<boolean> {
    try {
      return (await fetch(this.#address)).status !== 404;
    } catch {
      return true;
    }
  }

  /** End it; also while the page is left. */
  async end(): Promise<void> {
    await fetch(this.#address, { method: "DELETE", keepalive: true }).catch(() => undefined);
  }

  #at(what: string): URL {
    return new URL(`${this.#address.pathname}/${what}`, this.#address);
  }
}
