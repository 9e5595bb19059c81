import assert from "node:assert/strict";
import { test } from "node:test";
import { Addresses, defaultEndpoint } from "../src/addresses.js";

const PAGE = "https://course.example/lesson/1.html";

function of(endpoint: string, page = PAGE): string[] {
  const { execute, socket, check, sessions, grade } = new Addresses(endpoint, page);
  return [execute, socket, check, sessions, grade].map((url) => url.href);
}

test("the other addresses lie beside the endpoint, wherever that is", () => {
  assert.deepEqual(of("https://code.example/api/execute"), [
    "https://code.example/api/execute",
    "wss://code.example/api/execute/ws",
    "https://code.example/api/check",
    "https://code.example/api/sessions",
    "https://code.example/api/grade",
  ]);
  assert.deepEqual(of("api/execute", "http://127.0.0.1:8000/notebook"), [
    "http://127.0.0.1:8000/api/execute",
    "ws://127.0.0.1:8000/api/execute/ws",
    "http://127.0.0.1:8000/api/check",
    "http://127.0.0.1:8000/api/sessions",
    "http://127.0.0.1:8000/api/grade",
  ]);
  assert.equal(of("/below/api/execute")[2], "https://course.example/below/api/check");
});

test("a script of a service runs programs there", () => {
  assert.equal(defaultEndpoint("https://code.example/assets/run-code.js", PAGE), "https://code.example/api/execute");
  assert.equal(defaultEndpoint("https://code.example/below/assets/run-code-0123456789.js", PAGE), "https://code.example/below/api/execute");
});

test("a script in somebody's bundle runs them on the page's server", () => {
  for (const script of ["https://cdn.example/bundle.js", "https://cdn.example/assets/index.js", "file:///assets/run-code.js"]) {
    assert.equal(defaultEndpoint(script, PAGE), "/api/execute");
  }
});
