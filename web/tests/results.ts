/** Results of runs, for tests. */

import type { Result } from "../src/wire.js";

const COMPLETED: Result = {
  id: "0123456789abcdef",
  status: "success",
  reason: "completed",
  output: "",
  error: "",
  executionTime: 12.3,
  queueTime: 0.1,
  cpuTime: 4,
  memory: 30 * 2 ** 20,
  exitCode: 0,
  signal: null,
  syscall: null,
  truncated: false,
  line: null,
  column: null,
  problems: [],
  displays: [],
  files: [],
  filesOmitted: 0,
  value: null,
  exception: null,
};

export function result(changes: Partial<Result> = {}): Result {
  return { ...COMPLETED, ...changes };
}
