/**
 * The JSON of the HTTP API, as its OpenAPI description has it (/docs of a running service).
 *
 * `make docs` writes this file, by scripts/write_wire.py, and a test fails while it is out of date. Do not edit it.
 */

/** One program to run. */
export interface RunRequest {
  /** The source of the program. */
  code: string;
  /** The language of the program. */
  language?: "python";
  /** Time limit in seconds; the default is the service's maximum. */
  timeout?: number | null;
  /** What the program reads from input() and sys.stdin. */
  stdin?: string;
  /** sys.argv[1:] */
  args?: string[];
  /** Files for the working directory. If two have the same path, the later one counts. */
  files?: InputFile[];
  /** Return figures, the value of the last expression, and what `display()` is given, in `displays`. */
  display?: boolean;
}

/** A file for the working directory: its content as text, or anything in base64. */
export interface InputFile {
  /** Relative to the working directory; directories are made. */
  path: string;
  content?: string | null;
  contentBase64?: string | null;
}

/** What came of it. A program's failure is an answer like any other: status 200. */
export interface Result {
  status: Status;
  /** The precise reason. */
  reason: Reason;
  /** What the program wrote to stdout. */
  output: string;
  /** What the program wrote to stderr, its traceback, or why it was stopped. */
  error: string;
  /** Milliseconds of the run alone. */
  executionTime: number;
  id: string;
  /** null if the program did not exit by itself. */
  exitCode: number | null;
  /** The name of the signal that killed the program. */
  signal: string | null;
  /** The forbidden system call the program was killed for, if known. */
  syscall: string | null;
  /** Milliseconds of processor time. */
  cpuTime: number;
  /** Peak memory in bytes. */
  memory: number;
  /** Milliseconds of waiting for a sandbox. */
  queueTime: number;
  /** Whether the program wrote more than the limit. */
  truncated: boolean;
  /** The line of the failure, from 1, if known. */
  line: number | null;
  column: number | null;
  /** Everything the policy or the compiler refuses. */
  problems: Problem[];
  /** What the program showed, if `display` was true. */
  displays: Display[];
  /** Files that the program made or changed in its working directory. */
  files: OutputFile[];
  /** Number of files that were left out because they were too many or too large. */
  filesOmitted: number;
}

/** The outcome in three words. */
export type Status = "success" | "error" | "timeout";

/** Precisely why; each belongs to one `Status`. */
export type Reason =
  | "completed"
  | "exception"
  | "exit"
  | "syntax"
  | "policy"
  | "signal"
  | "memory_limit"
  | "output_limit"
  | "process_limit"
  | "disk_limit"
  | "violation"
  | "cancelled"
  | "internal"
  | "wall_time"
  | "cpu_time"
  | "input_time";

export interface Problem {
  line: number;
  column: number;
  message: string;
}

/** Something that the program shows beside its output. */
export type Display = Picture | Markup;

/** A figure, or another picture. */
export interface Picture {
  mediaType: "image/png" | "image/jpeg";
  contentBase64: string;
}

/** A rich value. The program decides what is in it: sanitise HTML, and show SVG as the source of an `<img>`. */
export interface Markup {
  mediaType: "image/svg+xml" | "text/html" | "text/markdown" | "text/latex" | "application/json";
  content: string;
}

export interface OutputFile {
  path: string;
  /** Bytes. */
  size: number;
  /** Guessed from the path. */
  mediaType: string;
  contentBase64: string;
}

/** One source to check. */
export interface CheckRequest {
  /** The source of the program. */
  code: string;
  /** The language of the program. */
  language?: "python";
}

/** Whether a source may run, and what is refused if not. */
export interface CheckResponse {
  ok: boolean;
  reason: ("policy" | "syntax") | null;
  problems: Problem[];
}

/** How a session stands. */
export interface SessionInfo {
  /** The name of the session. It is a secret, and works from the address that opened the session only. */
  id: string;
  /** `waiting`: a cell waits for input. */
  state: "idle" | "running" | "waiting";
  /** Number of cells that were run. */
  cells: number;
  /** Time in seconds without a running cell after which the session ends. */
  idleTimeout: number;
  /** Time in seconds until the session ends in any case. */
  expiresIn: number;
}

/** One cell to run. */
export interface CellRequest {
  /** The source of the cell. */
  code: string;
  /** Time limit in seconds; the default is the service's maximum. */
  timeout?: number | null;
  /** What the cell reads first. More can be sent while it runs. */
  stdin?: string;
  /** Return figures, the value of the last expression, and what `display()` is given, in `displays`. */
  display?: boolean;
}

/** Input for a cell that waits for it. */
export interface InputRequest {
  /** The next piece of its standard input, with its line ends. */
  data: string;
}

/** What the server sends while a program runs; the last event is `result` or `problem`. */
export type ServiceEvent =
  | ({ type: "started" } & Started)
  | ({ type: "stdout" } & Piece)
  | ({ type: "stderr" } & Piece)
  | ({ type: "waiting" } & Waiting)
  | ({ type: "display" } & Display)
  | ({ type: "file" } & OutputFile)
  | ({ type: "result" } & Result)
  | ({ type: "problem" } & ProblemDetails);

/** The program has a sandbox and starts. This is always the first event. */
export interface Started {
  id: string;
  /** Milliseconds it waited for a sandbox. */
  queueTime: number;
  /** Over the WebSocket only; null if there is no rate limit. */
  rateLimit?: Rate | null;
}

/** How many runs the client may still start. */
export interface Rate {
  /** Runs per window. */
  limit: number;
  /** Runs that are left. */
  remaining: number;
  /** Whole seconds until one more run is allowed. */
  reset: number;
  /** Seconds. */
  window: number;
}

/** A piece of what the program wrote. */
export interface Piece {
  /** Cut anywhere, but never inside a character. */
  data: string;
}

/** The program waits for input. Only a WebSocket and the cells of a session have this event. */
export interface Waiting {}

/** What a client sends over the WebSocket while its program runs. */
export type ClientMessage = StdinMessage | ControlMessage;

/** Input for the program. */
export interface StdinMessage {
  type: "stdin";
  /** A piece of its standard input; a line ends with a line end. */
  data: string;
}

/** `eof` ends the program's input, `interrupt` is Ctrl-C, and `cancel` ends the program. */
export interface ControlMessage {
  type: "eof" | "interrupt" | "cancel";
}

/** An error of the request or of the service, as RFC 9457 has it. */
export interface ProblemDetails {
  type?: string;
  title: string;
  status: number;
  detail: string;
  errors?: FieldError[] | null;
  /** Over the WebSocket, with status 429: what the header Retry-After says elsewhere, in seconds. */
  retryAfter?: number | null;
}

export interface FieldError {
  field: string;
  message: string;
}
