import assert from "node:assert/strict";
import { test } from "node:test";
import { CUT_OFF, UNREACHABLE } from "../src/failure.js";
import { type RunEvent, stream } from "../src/run.js";
import { result } from "./results.js";
import { json, serve } from "./server.js";

const REQUEST = { code: "print(1)" };
const STREAM = { "Content-Type": "text/event-stream" };

function event(name: string, data: object): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

async function eventsOf(address: URL, signal: AbortSignal | null = null): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  await stream(address, REQUEST, (each) => events.push(each), signal);
  return events;
}

test("a run's events come with their types, after what is left of the rate limit", async (t) => {
  const service = await serve(t, (_, response) => {
    response.writeHead(200, { ...STREAM, "RateLimit-Limit": "10", "RateLimit-Remaining": "9", "RateLimit-Reset": "6" });
    response.end(event("started", { id: "1", queueTime: 0.1 }) + event("stdout", { data: "1\n" }) + event("result", result()));
  });
  assert.deepEqual(await eventsOf(service.url), [
    { type: "rate", rate: { limit: 10, remaining: 9, reset: 6 } },
    { type: "started", id: "1", queueTime: 0.1 },
    { type: "stdout", data: "1\n" },
    { type: "result", ...result() },
  ]);
  assert.deepEqual(service.asked, [{ method: "POST", path: "/", body: REQUEST }]);
});

test("the type of a problem in a stream is that of the event", async (t) => {
  const problem = { type: "about:blank", title: "Service Unavailable", status: 503, detail: "No." };
  const service = await serve(t, (_, response) => void response.writeHead(200, STREAM).end(event("problem", problem)));
  assert.deepEqual(await eventsOf(service.url), [{ ...problem, type: "problem" }]);
});

test("a refusal is a problem", async (t) => {
  const service = await serve(t, (_, response) => json(response, 503, { title: "Busy", detail: "Wait." }, { "Retry-After": "2" }));
  assert.deepEqual(await eventsOf(service.url), [{ type: "problem", status: 503, title: "Busy", detail: "Wait.", retryAfter: 2 }]);
});

test("a stream that ends without a result was cut off", async (t) => {
  const service = await serve(t, (_, response) => void response.writeHead(200, STREAM).end(event("stdout", { data: "1" })));
  assert.deepEqual(await eventsOf(service.url), [
    { type: "stdout", data: "1" },
    { type: "problem", ...CUT_OFF },
  ]);
});

test("so was one whose connection breaks", async (t) => {
  const service = await serve(t, (_, response) => {
    response.writeHead(200, STREAM).write(event("stdout", { data: "1" }), () => response.destroy());
  });
  assert.deepEqual((await eventsOf(service.url)).at(-1), { type: "problem", ...CUT_OFF });
});

test("what follows the result is not read", async (t) => {
  const service = await serve(t, (_, response) => {
    response.writeHead(200, STREAM).write(event("result", result()) + event("stdout", { data: "late" }));
  });
  assert.deepEqual(await eventsOf(service.url), [{ type: "result", ...result() }]);
});

test("a service that is not there cannot be reached", async (t) => {
  const { url } = await serve(t, (_, response) => void response.socket?.destroy());
  assert.deepEqual(await eventsOf(url), [{ type: "problem", ...UNREACHABLE }]);
});

test("a run that is given up ends", async (t) => {
  const abort = new AbortController();
  const service = await serve(t, (_, response) => void response.writeHead(200, STREAM).write(event("started", { id: "1", queueTime: 0 })));
  const events: RunEvent[] = [];
  await stream(
    service.url,
    REQUEST,
    (each) => {
      events.push(each);
      abort.abort();
    },
    abort.signal,
  );
  assert.deepEqual(events.map(({ type }) => type), ["started", "problem"]);
});
