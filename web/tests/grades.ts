/** Grades and tests, for tests. */

import type { Grade, TestResult } from "../src/wire.js";

export function testResult(changes: Partial<TestResult> = {}): TestResult {
  return { id: "1", name: null, group: null, verdict: "passed", score: 1, max: 1, ...changes };
}

export function grade(changes: Partial<Grade> = {}): Grade {
  const passed = { id: "0123456789abcdef", verdict: "passed", score: 1, max: 1 } as const;
  return { ...passed, groups: [], problems: [], usage: null, receipt: null, tests: [], ...changes };
}
