import assert from "node:assert/strict";
import { test } from "node:test";
import { Allowance, rateOf } from "../src/allowance.js";
import { Clock } from "./clock.js";

test("what is left is read from the headers", () => {
  const headers = new Headers({ "RateLimit-Limit": "10", "RateLimit-Remaining": "3", "RateLimit-Reset": "20" });
  assert.deepEqual(rateOf(headers), { limit: 10, remaining: 3, reset: 20 });
  headers.set("RateLimit-Policy", "10;w=60");
  assert.deepEqual(rateOf(headers), { limit: 10, remaining: 3, reset: 20, window: 60 });
  assert.equal(rateOf(new Headers()), null);
});

test("without a rate limit nothing is said", (t) => {
  new Clock(t);
  const allowance = new Allowance(() => assert.fail("nothing has changed"));
  assert.equal(allowance.text, "");
  assert.equal(allowance.exhausted, false);
});

test("runs that are left are counted, per minute where that is the window", (t) => {
  new Clock(t);
  const allowance = new Allowance(() => undefined);
  allowance.update({ limit: 10, remaining: 3, reset: 20, window: 60 });
  assert.equal(allowance.text, "3 of 10 runs left this minute");
  allowance.update({ limit: 10, remaining: 2, reset: 20, window: 3600 });
  assert.equal(allowance.text, "2 of 10 runs left");
  assert.equal(allowance.exhausted, false);
});

test("with none left the seconds are counted down, and then a run is free", (t) => {
  const clock = new Clock(t);
  let shown = 0;
  const allowance = new Allowance(() => shown++);
  allowance.update({ limit: 2, remaining: 0, reset: 3, window: 60 });
  assert.equal(allowance.text, "No runs left this minute, again in 3 s");
  clock.pass(1000);
  assert.equal(allowance.text, "No runs left this minute, again in 2 s");
  const before = shown;
  clock.pass(500);
  assert.equal(shown, before + 1);
  assert.ok(allowance.exhausted);
  clock.pass(1500);
  assert.equal(allowance.exhausted, false);
  assert.equal(allowance.text, "");
  const after = shown;
  clock.pass(60_000);
  assert.equal(shown, after, "it goes on counting");
});

test("a refusal ends when the service said", (t) => {
  const clock = new Clock(t);
  const allowance = new Allowance(() => undefined);
  allowance.refuse(2);
  assert.ok(allowance.exhausted);
  assert.equal(allowance.text, "No runs left, again in 2 s");
  clock.pass(1500);
  assert.ok(allowance.exhausted);
  clock.pass(500);
  assert.equal(allowance.exhausted, false);
});

test("stopped, it counts no more", (t) => {
  const clock = new Clock(t);
  let shown = 0;
  const allowance = new Allowance(() => shown++);
  allowance.refuse(2);
  allowance.stop();
  const before = shown;
  clock.pass(10_000);
  assert.equal(shown, before);
});
