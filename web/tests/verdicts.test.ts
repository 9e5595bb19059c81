import assert from "node:assert/strict";
import { test } from "node:test";
import { nameOf, outcomeOf, points, sentenceOf, standing, word } from "../src/verdicts.js";
import type { TestResult } from "../src/wire.js";
import { grade, testResult } from "./grades.js";

const PASSED = testResult();
const FAILED = testResult({ verdict: "wrong_answer", score: 0 });

test("a verdict has an icon and a word", () => {
  const said = (verdict: TestResult["verdict"]) => [standing(testResult({ verdict })), word(testResult({ verdict }))];
  assert.deepEqual(said("passed"), ["passed", "Passed"]);
  assert.deepEqual(said("wrong_answer"), ["failed", "Wrong answer"]);
  assert.deepEqual(said("timeout"), ["failed", "Time is up"]);
  assert.deepEqual(said("skipped"), ["skipped", "Skipped"]);
  assert.deepEqual(said("error"), ["error", "Error"]);
});

test("a verdict of a newer service is no pass, and shown as it is", () => {
  const newer = testResult({ verdict: "eclipse" as TestResult["verdict"] });
  assert.deepEqual([standing(newer), word(newer)], ["failed", "eclipse"]);
});

test("a test has its name, else its id, else its number", () => {
  assert.equal(nameOf(testResult({ name: "Doubles", id: "3" })), "Doubles");
  assert.equal(nameOf(testResult({ id: "empty-list" })), "empty-list");
  assert.equal(nameOf(testResult({ id: "3" })), "Test 3");
});

test("points are rounded as people say them", () => {
  assert.equal(points(1, 1), "1 of 1 point");
  assert.equal(points(6.666667, 10), "6.67 of 10 points");
  assert.equal(points(0, 2.5), "0 of 2.5 points");
});

test("a grade is one sentence", () => {
  assert.equal(outcomeOf(grade({ tests: [PASSED], max: 10, score: 10 })), "All tests passed: 10 of 10 points");
  assert.equal(outcomeOf(grade({ verdict: "partial", tests: [PASSED, FAILED], max: 4, score: 2 })), "1 of 2 tests passed: 2 of 4 points");
});

test("of tests that are not shown no more is said than follows", () => {
  assert.equal(outcomeOf(grade({ max: 3, score: 3 })), "All tests passed: 3 of 3 points");
  assert.equal(outcomeOf(grade({ verdict: "failed", max: 3, score: 0 })), "Not all tests passed: 0 of 3 points");
  assert.equal(
    outcomeOf(grade({ verdict: "partial", tests: [PASSED], max: 3, score: 1 })),
    "All tests that are shown passed, but others did not: 1 of 3 points",
  );
});

test("what was not run, and what has no score, is said", () => {
  const problems = [{ line: 1, column: 1, message: "no" }];
  assert.equal(outcomeOf(grade({ verdict: "failed", problems, tests: [FAILED], max: 3, score: 0 })), "Not tested: 0 of 3 points");
  assert.equal(outcomeOf(grade({ verdict: "error", score: null })), "The service failed, so there are no points. Try again.");
});

test("what the service says is a sentence", () => {
  assert.equal(sentenceOf("line 2 is not right"), "Line 2 is not right.");
  assert.equal(sentenceOf("ValueError: no\n"), "ValueError: no.");
  assert.equal(sentenceOf("math.pi is wrong"), "math.pi is wrong.");
  assert.equal(sentenceOf("Time is up!"), "Time is up!");
  assert.equal(sentenceOf(""), "");
});
