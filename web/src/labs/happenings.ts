/** Tells the service what a learner does beside submitting, a few at a time. What cannot be told is dropped. */

import type { Happening, HappeningType } from "../labs-wire.js";
import type { LabsClient } from "./client.js";

const TELL_EVERY = 10_000; // ms
const MOST = 100; // that the service takes at once

export class Happenings {
  readonly #client: LabsClient;
  readonly #course: string;
  readonly #waiting: Happening[] = [];
  #timer: number | null = null;

  constructor(client: LabsClient, course: string) {
    this.#client = client;
    this.#course = course;
  }

  note(type: HappeningType, lab: string | null, data: Record<string, unknown> = {}): void {
    this.#waiting.push({ type, at: new Date().toISOString(), data, ...(lab === null ? {} : { lab }) });
    this.#timer ??= window.setTimeout(() => this.tell(), TELL_EVERY);
  }

  /** Tell what is waiting, now. */
  tell(leaving = false): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const events = this.#waiting.splice(0).slice(-MOST);
    if (events.length === 0) return;
    const request = { method: "POST", body: JSON.stringify({ events }), headers: { "Content-Type": "application/json" }, keepalive: leaving };
    this.#client.ask(this.#client.at("courses/{}/events", this.#course), request).catch(() => undefined);
  }
}
