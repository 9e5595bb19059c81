/** Why a program was not run, or why nobody knows what came of it. */

import type { ProblemDetails } from "./wire.js";

/** What the service says, or, with `status` 0, that it could not be reached. `retryAfter` is in seconds. */
export type Failure = Pick<ProblemDetails, "status" | "title" | "detail" | "retryAfter">;

/** Read an answer that is no success. */
export async function failureOf(response: Response): Promise<Failure> {
  const problem: unknown = await response.json().catch(() => null);
  const { title, detail } = (problem ?? {}) as Partial<ProblemDetails>;
  const retryAfter = Number(response.headers.get("Retry-After"));
  return {
    status: response.status,
    title: title || response.statusText || `HTTP ${response.status}`,
    detail: detail || `The service answered with HTTP ${response.status}.`,
    ...(retryAfter > 0 ? { retryAfter } : {}),
  };
}

export const UNREACHABLE: Failure = {
  status: 0,
  title: "No connection",
  detail: "The service that runs programs could not be reached. Check your connection and try again.",
};

export const CUT_OFF: Failure = {
  status: 0,
  title: "Connection lost",
  detail: "The connection was lost before the program ended. Try again.",
};

export const CUT_OFF_GRADE: Failure = {
  ...CUT_OFF,
  detail: "The connection was lost before all tests were over. Try again.",
};
