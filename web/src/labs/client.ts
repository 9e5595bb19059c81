/** The service's labs, over HTTP. */

import { type Failure, failureOf } from "../failure.js";
import type { KeptDraft, Saved, Segments } from "../labs-wire.js";
import { anonymousLearner, nameOfToken } from "./learner.js";

/** What the service refused; `message` is a sentence for the reader. */
export class LabsError extends Error {
  constructor(
    readonly failure: Failure,
    /** What the answer says beside. */
    readonly body: Record<string, unknown> = {},
  ) {
    super(failure.detail);
  }

  get status(): number {
    return this.failure.status;
  }
}

export const OFFLINE: Failure = {
  status: 0,
  title: "No connection",
  detail: "The service could not be reached. Check your connection and try again.",
};

/** What came of saving a draft: it is saved, or another window was faster. */
export type Put = { saved: Saved } | { other: KeptDraft };

export class LabsClient {
  readonly root: URL;

  /** `base`: the address of the page, which the service is beside. `token`: or a key; "" where the service needs none. */
  constructor(
    base: string,
    readonly token = "",
  ) {
    this.root = new URL("api/labs/v1/", base);
  }

  /** Whom the service takes the reader for, as far as the page knows. */
  get who(): string {
    return this.token ? nameOfToken(this.token) : anonymousLearner();
  }

  /** Who asks: a token says for which learner; a service that needs none is told of the browser's own. */
  headers(): Record<string, string> {
    return this.token ? { Authorization: `Bearer ${this.token}` } : { "X-Learner": anonymousLearner() };
  }

  /** An address below the root; what is in braces is escaped: `at("courses/{}", id)`. */
  at(path: string, ...parts: (string | number)[]): URL {
    let next = 0;
    return new URL(path.replaceAll("{}", () => encodeURIComponent(parts[next++] ?? "")), this.root);
  }

  async get<T>(address: URL): Promise<T> {
    return (await this.ask(address)).json() as Promise<T>;
  }

  /** Send JSON; the answer's JSON, or null where there is none. */
  async send<T>(method: string, address: URL, body?: object): Promise<T> {
    const response = await this.ask(address, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }),
    });
    return (response.status === 204 ? null : await response.json().catch(() => null)) as T;
  }

  /** An answer that is a success; throws `LabsError` for any other. */
  async ask(address: URL, options: RequestInit = {}): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(address, { ...options, headers: { ...this.headers(), ...(options.headers as Record<string, string> | undefined) } });
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw new LabsError(OFFLINE);
    }
    if (response.ok) return response;
    const body: unknown = await response.clone().json().catch(() => null);
    throw new LabsError(await failureOf(response), (body ?? {}) as Record<string, unknown>);
  }

  /** What is said in a video. */
  async said(course: string, video: string): Promise<Segments["segments"]> {
    return (await this.get<Segments>(this.at("courses/{}/videos/{}/segments", course, video))).segments;
  }

  /** Save a draft that follows on `revision` (null: on none). `leaving`: the page may be gone before the answer. */
  async putDraft(course: string, lab: string, code: string, revision: number | null, leaving = false): Promise<Put> {
    const condition: Record<string, string> = revision === null ? { "If-None-Match": "*" } : { "If-Match": `"${revision}"` };
    try {
      const response = await this.ask(this.at("courses/{}/labs/{}/draft", course, lab), {
        method: "PUT",
        body: JSON.stringify({ code }),
        headers: { "Content-Type": "application/json", ...condition },
        keepalive: leaving && code.length < 20_000, // browsers send no more than 64 KiB then
      });
      return { saved: (await response.json()) as Saved };
    } catch (error) {
      const other = error instanceof LabsError && error.status === 409 ? (error.body["draft"] as KeptDraft | undefined) : undefined;
      if (other) return { other };
      throw error;
    }
  }
}
