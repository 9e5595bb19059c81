/** Results and times in a learner's words. */

import { bytes } from "./console.js";
import type { Result } from "./wire.js";

const REASONS: Record<string, string> = {
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
};

export function outcome(result: Result): string {
  if (result.reason === "exit") return `Ended with exit code ${result.exitCode ?? "?"}`;
  return REASONS[result.reason] ?? result.reason;
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
