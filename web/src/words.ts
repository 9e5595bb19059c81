/** Results and times in a learner's words. */

import type { Reason, Result } from "./wire.js";

const OUTCOMES: Record<Exclude<Reason, "exit">, string> = {
  completed: "Finished",
  exception: "Error",
  syntax: "Syntax error",
  policy: "Not allowed",
  signal: "Crashed",
  memory_limit: "Out of memory",
  output_limit: "Too much output",
  process_limit: "Too many processes",
  disk_limit: "Disk full",
  violation: "Stopped: not allowed",
  cancelled: "Stopped",
  internal: "The service failed",
  wall_time: "Time is up",
  cpu_time: "Time is up",
  input_time: "Waited too long for input",
};

export function outcome(result: Result): string {
  if (result.reason === "exit") return `Ended with exit code ${result.exitCode ?? "?"}`;
  return OUTCOMES[result.reason] ?? result.reason; // a newer service may have more of them
}

/** The line that went wrong; null where none did, or where that is not known. */
export function failedLine(result: Result): number | null {
  return result.status === "success" ? null : (result.line ?? result.problems[0]?.line ?? null);
}

/** What the service says beyond what the program wrote to stderr. */
export function sentence(result: Result, stderr: string): string {
  const wrote = stderr.replace(/\n$/, "");
  return result.error.startsWith(wrote) ? result.error.slice(wrote.length).replace(/^\n/, "") : "";
}

export function usage(result: Result): string {
  const parts = [duration(result.executionTime)];
  if (result.memory > 0) parts.push(bytes(result.memory));
  return parts.join(" · ");
}

/** Milliseconds, for people. */
export function duration(ms: number): string {
  if (ms < 1) return "under 1 ms";
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** Units as the service's own messages have them: an MB is 2²⁰ bytes. */
export function bytes(count: number): string {
  if (count < 1024) return `${count} bytes`;
  const [value, unit] = count < 2 ** 20 ? [count / 1024, "KB"] : [count / 2 ** 20, "MB"];
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}
