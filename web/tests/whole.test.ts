import assert from "node:assert/strict";
import { test } from "node:test";
import { Whole } from "../src/whole.js";
import type { ServiceEvent } from "../src/wire.js";
import { result } from "./results.js";

const STREAMED = { stdout: 4, stderr: 4, displays: 1, files: 1 };
const PICTURE = { mediaType: "image/png", contentBase64: "iVBO" } as const;
const FILE = { path: "a.csv", size: 1, mediaType: "text/csv", contentBase64: "MQ==" };

function last(...events: ServiceEvent[]): unknown {
  const whole = new Whole();
  return events.map((event) => whole.take(event)).at(-1);
}

test("a result has what the events before it had", () => {
  const before: ServiceEvent[] = [
    { type: "stdout", data: "on" },
    { type: "stderr", data: "two\n" },
    { type: "stdout", data: "e\n" },
    { type: "display", ...PICTURE },
    { type: "file", ...FILE },
  ];
  assert.deepEqual(last(...before, { type: "result", ...result({ error: "Too slow." }), streamed: STREAMED }), {
    type: "result",
    ...result({ output: "one\n", error: "two\nToo slow.", displays: [PICTURE], files: [FILE] }),
  });
});

test("an error that is only what the program wrote has no line end", () => {
  assert.deepEqual(last({ type: "stderr", data: "no\n" }, { type: "result", ...result(), streamed: { ...STREAMED } }), {
    type: "result",
    ...result({ error: "no" }),
  });
});

test("the result of a service that repeats everything stays as it is", () => {
  const repeated = { type: "result", ...result({ output: "1\n" }) } as unknown as ServiceEvent;
  assert.deepEqual(last({ type: "stdout", data: "1\n" }, repeated), { type: "result", ...result({ output: "1\n" }) });
});
