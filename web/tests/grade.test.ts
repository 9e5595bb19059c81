import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { Addresses } from "../src/addresses.js";
import { CUT_OFF_GRADE, UNREACHABLE } from "../src/failure.js";
import { type GradeEvent, GradeRun } from "../src/grade.js";
import { grade, testResult } from "./grades.js";
import { json, serve } from "./server.js";

const REQUEST = { code: "print(1)", suiteId: "week-1" };
const STREAM = { "Content-Type": "text/event-stream" };
const ONE = testResult();
const TWO = testResult({ id: "2", verdict: "wrong_answer", score: 0 });

function event(name: string, data: object): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** The end of a grade as the service sends it: without the tests. */
function end(): string {
  const { tests: _, ...rest } = grade({ verdict: "partial", score: 1, max: 2 });
  return event("grade", rest);
}

type Answer = Parameters<typeof serve>[1];

/** All that is heard of a grade; `heard` can stop it meanwhile. */
async function eventsOf(t: TestContext, answer: Answer, heard?: (event: GradeEvent, run: GradeRun) => void): Promise<GradeEvent[]> {
  const service = await serve(t, answer);
  const addresses = new Addresses(`${service.url.href}api/execute`, service.url.href, "a.b.c");
  const events: GradeEvent[] = [];
  return new Promise((resolve) => {
    const run = new GradeRun(addresses, REQUEST, (each) => {
      events.push(each);
      heard?.(each, run);
      if (each.type === "grade" || each.type === "problem") resolve(events);
    });
  });
}

test("tests come as they end, and the grade has them all", async (t) => {
  const events = await eventsOf(t, ({ method, path, body }, response, authorization) => {
    assert.deepEqual([method, path, body, authorization], ["POST", "/api/grade", REQUEST, "Bearer a.b.c"]);
    response.writeHead(200, { ...STREAM, "RateLimit-Limit": "10", "RateLimit-Remaining": "9", "RateLimit-Reset": "6" });
    response.end(event("test", ONE) + event("test", TWO) + end());
  });
  assert.deepEqual(events, [
    { type: "rate", rate: { limit: 10, remaining: 9, reset: 6 } },
    { type: "test", ...ONE },
    { type: "test", ...TWO },
    { type: "grade", ...grade({ verdict: "partial", score: 1, max: 2, tests: [ONE, TWO] }) },
  ]);
});

test("a refusal is a problem", async (t) => {
  const problem = { title: "Not Found", detail: "There is no suite week-1." };
  const events = await eventsOf(t, (_, response) => json(response, 404, problem));
  assert.deepEqual(events, [{ type: "problem", status: 404, ...problem }]);
});

test("so is what goes wrong after some tests", async (t) => {
  const problem = { type: "about:blank", title: "Service Unavailable", status: 503, detail: "No." };
  const events = await eventsOf(t, (_, response) => void response.writeHead(200, STREAM).end(event("test", ONE) + event("problem", problem)));
  assert.deepEqual(events.at(-1), { ...problem, type: "problem" });
});

test("a stream that ends without a grade was cut off", async (t) => {
  const events = await eventsOf(t, (_, response) => void response.writeHead(200, STREAM).end(event("test", ONE)));
  assert.deepEqual(events, [{ type: "test", ...ONE }, { type: "problem", ...CUT_OFF_GRADE }]);
});

test("a service that is not there cannot be reached", async (t) => {
  const events = await eventsOf(t, (_, response) => void response.socket?.destroy());
  assert.deepEqual(events, [{ type: "problem", ...UNREACHABLE }]);
});

test("a grade that is stopped ends, and its connection too", async (t) => {
  let closed: () => void = () => undefined;
  const gone = new Promise<void>((resolve) => (closed = resolve));
  const events = await eventsOf(
    t,
    (_, response) => {
      response.on("close", closed);
      response.writeHead(200, STREAM).write(event("test", ONE));
    },
    (_, run) => run.cancel(),
  );
  assert.deepEqual(events.map(({ type }) => type), ["test", "problem"]);
  await gone;
});
