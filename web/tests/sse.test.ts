import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEvents, type ServerEvent } from "../src/sse.js";

const encoder = new TextEncoder();

/** A body that comes in these pieces. */
function body(...pieces: (string | Uint8Array)[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(typeof piece === "string" ? encoder.encode(piece) : piece);
      controller.close();
    },
  });
}

async function read(...pieces: (string | Uint8Array)[]): Promise<ServerEvent[]> {
  const events: ServerEvent[] = [];
  for await (const event of parseEvents(body(...pieces))) events.push(event);
  return events;
}

const TWO = 'event: stdout\ndata: {"data": "é\\n"}\n\nevent: result\ndata: {}\n\n';
const READ = [
  { name: "stdout", data: '{"data": "é\\n"}' },
  { name: "result", data: "{}" },
];

test("events are read one by one", async () => {
  assert.deepEqual(await read(TWO), READ);
});

test("events that are cut anywhere are put together again", async () => {
  const whole = encoder.encode(TWO);
  for (let at = 0; at <= whole.length; at++) {
    assert.deepEqual(await read(whole.slice(0, at), whole.slice(at)), READ, `cut at byte ${at}`);
  }
  assert.deepEqual(await read(...Array.from(whole, (byte) => Uint8Array.of(byte))), READ);
});

test("lines may end with a carriage return too", async () => {
  assert.deepEqual(await read(TWO.replaceAll("\n", "\r\n")), READ);
});

test("data of several lines is joined, and its first space is not part of it", async () => {
  assert.deepEqual(await read("data: a\ndata:b\ndata:  c\n\n"), [{ name: "message", data: "a\nb\n c" }]);
});

test("comments, unknown fields and events without data are passed over", async () => {
  assert.deepEqual(await read(": hello\n\nevent: empty\n\nid: 7\nretry: 1\ndata: x\n\n"), [{ name: "message", data: "x" }]);
});

test("an event that was cut off is not one", async () => {
  assert.deepEqual(await read("data: whole\n\ndata: half"), [{ name: "message", data: "whole" }]);
});

test("a reader that leaves ends the request", async () => {
  let cancelled = false;
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(encoder.encode("data: more\n\n")),
    cancel: () => void (cancelled = true),
  });
  for await (const event of parseEvents(endless)) {
    assert.equal(event.data, "more");
    break;
  }
  assert.ok(cancelled);
});
