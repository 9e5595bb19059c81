/** The learner's part of the labs' API, as far as this site uses it. It is asked by way of `app/api/labs`. */

export interface Moment {
  video: string;
  start: number;
  end: number;
}

export interface About {
  title: string;
  videos: { video: string; title: string; youtube: string | null; url: string | null }[];
  labs: { lab: string; title: string; state: "new" | "begun" | "passed"; moments: Moment[] }[];
}

export interface Draft {
  code: string;
  revision: number;
}

export interface Lab {
  lab: string;
  version: number;
  title: string;
  task: string;
  starter: string;
  hints: number;
  given: { number: number; text: string }[];
  draft: Draft | null;
}

export interface Submitted {
  passed: boolean;
  tests: { id: string; name?: string; verdict: string; message?: string }[];
  moment: Moment | null;
}

/** What the service says where it does not do what was asked. `draft`: what another window has saved. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly draft?: Draft,
  ) {
    super(message);
  }
}

export async function ask<T>(path: string, method = "GET", body?: unknown, headers: HeadersInit = {}): Promise<T> {
  const answer = await fetch(`/api/labs/${path}`, {
    method,
    headers: { accept: "application/json", ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Problem(answer.status, said.detail ?? said.title ?? `status ${answer.status}`, said.draft);
  return said as T;
}

export function clock(seconds: number): string {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
