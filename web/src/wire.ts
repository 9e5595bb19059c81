/** The service's wire format: what is sent to it and what comes back (see /docs of a running service). */

export interface InputFile {
  path: string;
  content?: string;
  contentBase64?: string;
}

export interface RunRequest {
  code: string;
  language: "python";
  timeout?: number;
  stdin?: string;
  args?: string[];
  files?: InputFile[];
  display?: boolean;
}

export interface Problem {
  /** From 1, both. */
  line: number;
  column: number;
  message: string;
}

export interface Picture {
  mediaType: "image/png";
  contentBase64: string;
}

export interface Markup {
  mediaType: "text/html";
  content: string;
}

export type Display = Picture | Markup;

export interface OutputFile {
  path: string;
  /** Bytes. */
  size: number;
  mediaType: string;
  contentBase64: string;
}

export interface Result {
  status: "success" | "error" | "timeout";
  reason: string;
  output: string;
  error: string;
  /** Milliseconds. */
  executionTime: number;
  queueTime: number;
  cpuTime: number;
  /** Bytes, at its peak. */
  memory: number;
  exitCode: number | null;
  signal: string | null;
  /** The forbidden system call that it was ended for, where that is known. */
  syscall: string | null;
  truncated: boolean;
  line: number | null;
  column: number | null;
  problems: Problem[];
  /** Files that are not among those sent, because they were too many or too large. */
  filesOmitted?: number;
}

/** How many runs the service still allows. `reset` and `window` are seconds. */
export interface Rate {
  limit: number;
  remaining: number;
  reset: number;
  window?: number;
}

/** Why the service did not run the program, or could not be reached (`status` 0). */
export interface Failure {
  status: number;
  title: string;
  detail: string;
  /** Seconds. */
  retryAfter?: number;
}

export type RunEvent =
  | { type: "started"; id: string; queueTime: number }
  | { type: "rate"; rate: Rate }
  | { type: "stdout" | "stderr"; data: string }
  | { type: "waiting" }
  | ({ type: "display" } & Display)
  | ({ type: "file" } & OutputFile)
  | ({ type: "result" } & Result)
  | ({ type: "problem" } & Failure);

/** How a session stands. */
export interface SessionState {
  id: string;
  state: "idle" | "running" | "waiting";
  /** Seconds, both. */
  idleTimeout: number;
  expiresIn: number;
}

/** The addresses that belong to an endpoint such as https://example.org/api/execute. */
export class Addresses {
  readonly execute: URL;
  readonly socket: URL;
  readonly check: URL;
  readonly sessions: URL;

  constructor(endpoint: string, base: string) {
    this.execute = new URL(endpoint, base);
    this.socket = new URL(`${this.execute.pathname.replace(/\/$/, "")}/ws`, this.execute);
    this.socket.protocol = this.execute.protocol === "https:" ? "wss:" : "ws:";
    this.check = new URL("check", this.execute);
    this.sessions = new URL("sessions", this.execute);
  }
}

export function rateOf(headers: Headers): Rate | null {
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

/** Read an answer that is no success. */
export async function failureOf(response: Response): Promise<Failure> {
  const problem: unknown = await response.json().catch(() => null);
  const { title, detail } = (problem ?? {}) as Partial<Failure>;
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
