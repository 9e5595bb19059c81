/** Asks the service something, and hears its answer as server-sent events. */

import { type RateLeft, rateOf } from "./allowance.js";
import { type Failure, failureOf, UNREACHABLE } from "./failure.js";
import { parseEvents } from "./sse.js";

/** What is heard beside the events of the answer: what is left of the rate limit, and why there is no answer. */
export type Aside = { type: "rate"; rate: RateLeft } | ({ type: "problem" } & Failure);

export interface Question {
  address: URL;
  request: object;
  headers?: Record<string, string>;
  signal?: AbortSignal | null;
  /** The event that an answer ends with, unless a problem does. */
  last: string;
  /** What it is called if the connection is lost before. */
  cutOff: Failure;
}

/** Send a request, and yield the events that answer it; the last of them is `last`, or a `problem`. */
export async function* follow<E extends { type: string }>(question: Question): AsyncGenerator<E | Aside> {
  const { address, request, last, cutOff } = question;
  let begun = false;
  try {
    const response = await fetch(address, {
      method: "POST",
      headers: { ...(question.headers ?? { "Content-Type": "application/json" }), Accept: "text/event-stream" },
      body: JSON.stringify(request),
      signal: question.signal ?? null,
    });
    begun = true;
    const rate = rateOf(response.headers);
    if (rate) yield { type: "rate", rate };
    if (!response.ok || !response.body) {
      yield { type: "problem", ...(await failureOf(response)) };
      return;
    }
    for await (const { name, data } of parseEvents(response.body)) {
      yield { ...(JSON.parse(data) as object), type: name } as E;
      if (name === last || name === "problem") return;
    }
  } catch {
    if (!begun) {
      yield { type: "problem", ...UNREACHABLE };
      return;
    }
  }
  yield { type: "problem", ...cutOff };
}
