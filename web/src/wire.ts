/**
 * The JSON of the HTTP API, as its OpenAPI description has it (/docs of a running service).
 *
 * `make docs` writes this file, by scripts/write_wire.py, and a test fails while it is out of date. Do not edit it.
 */

/** One program to run. */
export interface RunRequest {
  /** The source of the program. It can be missing if there is an `entry`. */
  code?: string | null;
  /** The language of the program. */
  language?: string | null;
  /** Time limit in seconds; the default is the service's maximum. */
  timeout?: number | null;
  /** What the program reads from input() and sys.stdin. */
  stdin?: string | null;
  /** sys.argv[1:] */
  args?: string[] | null;
  /** Files for the working directory. If two have the same path, the later one counts. None may be `main.py`, and none may lie where another is. */
  files?: InputFile[] | null;
  /** Return figures, the value of the last expression, and what `display()` is given, in `displays`. */
  display?: boolean | null;
  /** The interpreter and libraries to use, one of `GET /api/environments`; null: the default. */
  environment?: string | null;
  /** The policy that checks the source, one of those that the service offers; null: the service's own. */
  policy?: string | null;
  /** Limits of this run, below those of the service. The answer then says what holds, in `limits`. */
  limits?: RunLimits | null;
  /** The name of the program's file, which tracebacks show; without a directory. */
  name?: string | null;
  /** What is run instead of `code`. */
  entry?: Entry | null;
  /** Variables of the environment, of those that the service allows. */
  env?: Record<string, string> | null;
  /** Instead of `stdin`: its bytes, which can be anything. */
  stdinBase64?: string | null;
  /** Instead of `stdin`: several, each for a run of its own. The answer has the `results`, in order. */
  stdins?: string[] | null;
  /** Return the bytes of stdout and stderr too, in `stdoutBase64` and `stderrBase64`; in events, in `dataBase64`. */
  base64?: boolean | null;
  /** Leave out the middle of `output` and `error` if they are longer. Not for events. */
  excerpt?: Excerpt | null;
}

/** A file for the working directory: its content as text, or anything in base64. */
export interface InputFile {
  /** Relative to the working directory; directories are made. */
  path: string;
  content?: string | null;
  contentBase64?: string | null;
}

/** What one run is held to. What is missing, or null, is as the service has it, which is the most of each. */
export interface RunLimits {
  /** Run time in seconds: the same as `timeout`. */
  wallTime?: number | null;
  /** Processor time in seconds. */
  cpuTime?: number | null;
  /** Bytes of memory, beyond what a program has before its first line. Python raises MemoryError a little below. */
  memory?: number | null;
  /** Bytes of stdout and stderr together. */
  output?: number | null;
  /** Processes or threads that the program can count on beside its first one. */
  processes?: number | null;
  /** Bytes of all files in /work, /tmp and /dev/shm. */
  disk?: number | null;
}

/** What is run instead of `code`: a file of the request, or a module as `python -m` finds it. */
export interface Entry {
  /** The path of one of `files`. */
  path?: string | null;
  /** The name of a module, or of a package with a `__main__.py`. */
  module?: string | null;
}

/** How much of a long output the answer has: so many bytes of its beginning and of its end. */
export interface Excerpt {
  /** Bytes of the beginning. */
  head?: number;
  /** Bytes of the end. */
  tail?: number;
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
  /** Number of new or changed files that are not in `files`: too many, too large, or no files to send. */
  filesOmitted: number;
  /** Of a cell: the text of the last expression's value, which is in `output` too unless it is shown in another way. null if there is none, or it is None. */
  value: string | null;
  /** Of a cell: what it ended with, if it did. */
  exception: Raised | null;
  /** The `environment` of the request; it is missing where none was asked for. */
  environment?: string;
  /** What the run was held to. It is there if the request has `limits`. */
  limits?: HeldLimits | null;
  /** The bytes of stdout. It is there if the request has `base64`. */
  stdoutBase64?: string | null;
  /** The bytes of stderr. It is there if the request has `base64`. */
  stderrBase64?: string | null;
  /** How much is left out. It is there if the request has an `excerpt`. */
  leftOut?: LeftOut | null;
}

/** What a run was held to. Seconds, bytes, and processes or threads. */
export interface HeldLimits {
  wallTime: number;
  cpuTime: number;
  memory: number;
  output: number;
  processes: number;
  disk: number;
}

/** How many bytes of the middle of `output` and of `error` are left out. */
export interface LeftOut {
  stdout: number;
  stderr: number;
}

/** What came of each run of a request with `stdins`, in their order. */
export interface Results {
  results: Result[];
}

/** What came of it, at the end of a stream: without what the events before it had. `output`, `displays` and `files` have only what no event had, which is nothing unless something went wrong. `error` is why the program was stopped, if it was. */
export interface StreamedResult {
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
  /** Number of new or changed files that are not in `files`: too many, too large, or no files to send. */
  filesOmitted: number;
  /** Of a cell: the text of the last expression's value, which is in `output` too unless it is shown in another way. null if there is none, or it is None. */
  value: string | null;
  /** Of a cell: what it ended with, if it did. */
  exception: Raised | null;
  /** The `environment` of the request; it is missing where none was asked for. */
  environment?: string;
  /** What the run was held to. It is there if the request has `limits`. */
  limits?: HeldLimits | null;
  /** The bytes of stdout. It is there if the request has `base64`. */
  stdoutBase64?: string | null;
  /** The bytes of stderr. It is there if the request has `base64`. */
  stderrBase64?: string | null;
  /** How much is left out. It is there if the request has an `excerpt`. */
  leftOut?: LeftOut | null;
  streamed: Streamed;
}

/** How much was sent before the result. */
export interface Streamed {
  /** Bytes of UTF-8 in the events `stdout`. */
  stdout: number;
  /** Bytes of UTF-8 in the events `stderr`. */
  stderr: number;
  /** Number of events `display`. */
  displays: number;
  /** Number of events `file`. */
  files: number;
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
  /** The path of the request's file that it is in; it is missing where it is in the program. */
  file?: string | null;
}

/** The exception that a cell ended with. */
export interface Raised {
  /** The name of its class, with its module unless it is built in or the session's. */
  type: string;
  message: string;
  /** The lines that Python prints of it. */
  traceback: string[];
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
  language?: string | null;
  /** The interpreter and libraries to use, one of `GET /api/environments`; null: the default. */
  environment?: string | null;
  /** The policy that checks the source, one of those that the service offers; null: the service's own. */
  policy?: string | null;
}

/** Whether a source may run, and what is refused if not. */
export interface CheckResponse {
  ok: boolean;
  reason: ("policy" | "syntax") | null;
  problems: Problem[];
  /** The `environment` of the request; it is missing where none was asked for. */
  environment?: string;
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
  /** Time in seconds since it was opened, or restarted. */
  age: number;
  /** The `environment` of the request; it is missing where none was asked for. */
  environment?: string;
  /** The `policy` of the request, likewise. */
  policy?: string;
}

/** The files of a session. */
export interface FileList {
  files: FileEntry[];
  /** Number of other things there: links, names that are no UTF-8, locked directories, and so on. */
  filesOmitted: number;
}

/** A file of a session. */
export interface FileEntry {
  /** Relative to the working directory. */
  path: string;
  /** Bytes. */
  size: number;
  /** Guessed from the path. */
  mediaType: string;
}

/** One cell to run. */
export interface CellRequest {
  /** The source of the cell. */
  code: string;
  /** Time limit in seconds; the default is the service's maximum. */
  timeout?: number | null;
  /** What the cell reads; its input ends there. null: somebody types while it runs. */
  stdin?: string | null;
  /** false: nobody types, and the input ends after `stdin`. true: somebody types, also after `stdin`, and `timeout` does not count while the cell waits. null: false if there is `stdin`; else true, except that `timeout`, if given, counts while the cell waits. */
  interactive?: boolean | null;
  /** Return figures, the value of the last expression, and what `display()` is given, in `displays`. */
  display?: boolean | null;
}

/** Input for a cell that waits for it: `data`, `eof`, or both. */
export interface InputRequest {
  /** The next piece of its standard input, with its line ends. */
  data?: string | null;
  /** Whether its standard input ends here. */
  eof?: boolean;
}

/** What the server sends while a program runs; the last event is `result` or `problem`. */
export type ServiceEvent =
  | ({ type: "started" } & Started)
  | ({ type: "stdout" } & Piece)
  | ({ type: "stderr" } & Piece)
  | ({ type: "waiting" } & Waiting)
  | ({ type: "display" } & Display)
  | ({ type: "file" } & OutputFile)
  | ({ type: "result" } & StreamedResult)
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
  /** Its bytes, if the request has `base64`. They can end inside a character. */
  dataBase64?: string;
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

/** What came of a submission. */
export interface Grade {
  id: string;
  /** `error`: the service or a checker failed. There is no score then. */
  verdict: GradeVerdict;
  score: number | null;
  max: number;
  groups: GroupResult[];
  /** What the policy or the compiler refuses: nothing was run. */
  problems: Problem[];
  /** null for whoever may not see everything. */
  usage: GradeUsage | null;
  /** All this, signed: a JWS. null: the service has nowhere to keep a key. */
  receipt: string | null;
  /** With `regradeOf`. */
  regrade?: Regrade | null;
  /** In the order of the suite, without the hidden ones. */
  tests: TestResult[];
}

/** ``partial``: some of the points. ``error``: we failed, or a checker did, and there is no score. */
export type GradeVerdict = "passed" | "partial" | "failed" | "error";

/** What came of a test. How much there is depends on its visibility, and on who asks. */
export interface TestResult {
  id: string;
  name: string | null;
  group: string | null;
  /** `failed`: it was not passed, and the visibility `result` says no more. */
  verdict: Verdict | "failed";
  /** Its points, by itself. */
  score: number;
  max: number;
  /** Why its run ended, as of a run. */
  reason?: string | null;
  /** What is wrong. */
  message?: string | null;
  /** What the author of the test says to whoever did not pass it. */
  hint?: string | null;
  /** Of the output (io), or of the program (call). */
  line?: number | null;
  stdout?: string | null;
  stderr?: string | null;
  /** What a call returned. */
  got?: string | null;
  /** What the program was given. */
  input?: Record<string, unknown> | null;
  /** Milliseconds. */
  time?: number | null;
  /** Milliseconds of processor time. */
  cpuTime?: number | null;
  /** Peak memory in bytes. */
  memory?: number | null;
  /** `isolated`: what decided was out of the program's reach. `cooperative`: it was not. */
  trust?: string | null;
  /** Of `unittest` and `pytest`: what came of each of its tests. */
  cases?: TestCase[] | null;
  /** More of what is wrong: of the checker or the tests themselves. */
  detail?: string | null;
  expected?: string | null;
  diff?: Difference | null;
  /** true: it printed something else when the same was graded before (`regradeOf`). */
  flaky?: boolean | null;
}

/** What came of a test. Whatever is not clearly ``passed`` is something else. */
export type Verdict =
  | "passed"
  | "wrong_answer"
  | "timeout"
  | "memory_limit"
  | "output_limit"
  | "error"
  | "no_answer"
  | "skipped"
  | "checker_error"
  | "internal";

/** What came of one unit test. */
export interface TestCase {
  id: string;
  verdict: Verdict;
  weight: number;
  /** What the test says; for whoever may see everything of it. */
  message?: string | null;
}

/** The first place where something is wrong; white space is visible. */
export interface Difference {
  /** Of the output, from 1. */
  line: number | null;
  expected: string | null;
  got: string | null;
}

export interface GroupResult {
  id: string;
  passed: boolean;
  score: number;
  max: number;
}

/** What the grade took. */
export interface GradeUsage {
  runs: number;
  /** Milliseconds of all runs. */
  time: number;
  /** Milliseconds of processor time. */
  cpuTime: number;
  /** Peak memory in bytes. */
  memory: number;
}

/** What is different from the grade before, as far as both receipts tell. */
export interface Regrade {
  /** Whether every test came to the same, and printed the same. */
  same: boolean;
  /** The ids of the tests that did not. */
  differs: string[];
  /** Those that printed something else, although nothing was changed. */
  flaky: string[];
  /** What was another thing then: `suite changed`, likewise `code`, `files`, `environment`, `limits`, `server`, `engine`; or `not deterministic`: nothing was. */
  why: string[];
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
