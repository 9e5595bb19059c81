import assert from "node:assert/strict";
import { test } from "node:test";
import { Saver } from "../src/saver.js";
import { Clock } from "./clock.js";

test("a moment after the last key is saved once", (t) => {
  const clock = new Clock(t);
  let saved = 0;
  const saver = new Saver(() => saved++);
  saver.later();
  clock.pass(200);
  saver.later();
  clock.pass(200);
  assert.equal(saved, 0);
  clock.pass(200);
  assert.equal(saved, 1);
  clock.pass(10_000);
  assert.equal(saved, 1);
});

test("what is saved at once is not saved again later", (t) => {
  const clock = new Clock(t);
  let saved = 0;
  const saver = new Saver(() => saved++);
  saver.later();
  saver.now();
  assert.equal(saved, 1);
  clock.pass(10_000);
  assert.equal(saved, 1);
});
