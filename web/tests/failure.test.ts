import assert from "node:assert/strict";
import { test } from "node:test";
import { failureOf } from "../src/failure.js";

test("a problem of the service is told in its words", async () => {
  const problem = { type: "about:blank", title: "Too Many Requests", status: 429, detail: "Slow down." };
  const response = new Response(JSON.stringify(problem), { status: 429, headers: { "Retry-After": "7" } });
  assert.deepEqual(await failureOf(response), { status: 429, title: "Too Many Requests", detail: "Slow down.", retryAfter: 7 });
});

test("an answer of a proxy is told by its status", async () => {
  const page = new Response("<h1>Bad Gateway</h1>", { status: 502, statusText: "Bad Gateway" });
  assert.deepEqual(await failureOf(page), { status: 502, title: "Bad Gateway", detail: "The service answered with HTTP 502." });
  const silent = new Response(null, { status: 504 });
  assert.equal((await failureOf(silent)).title, "HTTP 504");
});

test("a time to come again that is a date, or none, is left out", async () => {
  for (const value of ["Wed, 21 Oct 2026 07:28:00 GMT", "0", ""]) {
    const failure = await failureOf(new Response("{}", { status: 503, headers: { "Retry-After": value } }));
    assert.equal("retryAfter" in failure, false, value);
  }
});
