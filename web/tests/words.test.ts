import assert from "node:assert/strict";
import { test } from "node:test";
import type { Reason } from "../src/wire.js";
import { bytes, duration, failedLine, outcome, sentence, usage } from "../src/words.js";
import { result } from "./results.js";

test("every reason has words of its own", () => {
  const reasons: Reason[] = ["completed", "exception", "policy", "cancelled", "wall_time", "input_time"];
  const words = reasons.map((reason) => outcome(result({ reason })));
  assert.deepEqual(words, ["Finished", "Error", "Not allowed", "Stopped", "Time is up", "Waited too long for input"]);
});

test("an exit says its code", () => {
  assert.equal(outcome(result({ reason: "exit", exitCode: 3 })), "Ended with exit code 3");
  assert.equal(outcome(result({ reason: "exit", exitCode: null })), "Ended with exit code ?");
});

test("a reason of a newer service is shown as it is", () => {
  assert.equal(outcome(result({ reason: "eclipse" as Reason })), "eclipse");
});

test("what the service adds to stderr is found, and nothing else", () => {
  const stopped = (error: string, stderr: string) => sentence(result({ error }), stderr);
  assert.equal(stopped("warning\nExecution exceeded 1 second timeout", "warning\n"), "Execution exceeded 1 second timeout");
  assert.equal(stopped("Execution exceeded 1 second timeout", ""), "Execution exceeded 1 second timeout");
  assert.equal(stopped("warning", "warning\n"), "");
  assert.equal(stopped("", ""), "");
  assert.equal(stopped("the beginning only", "the beginning only, and more"), "");
});

test("the line that failed is the result's, else that of its first problem", () => {
  const problems = [{ line: 7, column: 1, message: "no" }];
  assert.equal(failedLine(result({ status: "error", line: 3, problems })), 3);
  assert.equal(failedLine(result({ status: "error", problems })), 7);
  assert.equal(failedLine(result({ status: "error" })), null);
  assert.equal(failedLine(result({ status: "success", line: 3 })), null);
});

test("memory that is not known is not told", () => {
  assert.equal(usage(result({ executionTime: 12.3, memory: 30 * 2 ** 20 })), "12 ms · 30 MB");
  assert.equal(usage(result({ executionTime: 12.3, memory: 0 })), "12 ms");
});

test("times and sizes are rounded as people say them", () => {
  assert.deepEqual([0.4, 1, 999.4, 1000, 61_000].map(duration), ["under 1 ms", "1 ms", "999 ms", "1.0 s", "61.0 s"]);
  assert.deepEqual([0, 1023, 1024, 10_240, 2 ** 20, 15 * 2 ** 20].map(bytes), ["0 bytes", "1023 bytes", "1.0 KB", "10 KB", "1.0 MB", "15 MB"]);
});
