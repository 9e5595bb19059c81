/** Grades and tests in a learner's words. */

import type { Grade, TestResult } from "./wire.js";

/** How a test stands: what its colour and its icon are. */
export type Standing = "passed" | "failed" | "skipped" | "error";

const WORDS: Record<TestResult["verdict"], [standing: Standing, word: string]> = {
  passed: ["passed", "Passed"],
  failed: ["failed", "Failed"],
  wrong_answer: ["failed", "Wrong answer"],
  timeout: ["failed", "Time is up"],
  memory_limit: ["failed", "Out of memory"],
  output_limit: ["failed", "Too much output"],
  error: ["error", "Error"],
  no_answer: ["failed", "No answer"],
  skipped: ["skipped", "Skipped"],
  checker_error: ["error", "The checker failed"],
  internal: ["error", "The service failed"],
};

type Judged = Pick<TestResult, "verdict">;

export function standing(test: Judged): Standing {
  return WORDS[test.verdict]?.[0] ?? "failed"; // a newer service may have more of them
}

export function word(test: Judged): string {
  return WORDS[test.verdict]?.[1] ?? test.verdict;
}

/** What a test is called: a test without a name and an id has its number. */
export function nameOf(test: TestResult): string {
  return test.name || (/^\d+$/.test(test.id) ? `Test ${test.id}` : test.id);
}

/** "2.5 of 3 points" */
export function points(score: number, max: number): string {
  return `${number(score)} of ${number(max)} ${max === 1 ? "point" : "points"}`;
}

function number(value: number): string {
  return String(Math.round(100 * value) / 100);
}

/** What all of it came to, in one sentence; of tests that are not shown, no more than follows from it. */
export function outcomeOf({ verdict, score, max, tests, problems }: Grade): string {
  if (verdict === "error" || score === null) return "The service failed, so there are no points. Try again.";
  const scored = points(score, max);
  if (verdict === "passed") return `All tests passed: ${scored}`;
  if (problems.length > 0) return `Not tested: ${scored}`;
  const passed = tests.filter((test) => test.verdict === "passed").length;
  if (tests.length === 0) return `Not all tests passed: ${scored}`;
  if (passed === tests.length) return `All tests that are shown passed, but others did not: ${scored}`;
  return `${passed} of ${tests.length} tests passed: ${scored}`;
}

/** A sentence of the service, which begins small and has no full stop. */
export function sentenceOf(message: string): string {
  const text = message.trim();
  if (!text) return "";
  // the first word can be a name of the program's own, as in "math.pi is not right"
  const begun = /^[a-z]+(?=[\s,:]|$)/.test(text) ? text[0]?.toUpperCase() + text.slice(1) : text;
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}
