import assert from "node:assert/strict";
import { test } from "node:test";
import { Addresses } from "../src/addresses.js";
import { Checker } from "../src/check.js";
import { json, serve, type Service } from "./server.js";

const PROBLEM = { line: 1, column: 8, message: "`import os` is not allowed here." };
const REFUSED = { ok: false, reason: "policy", problems: [PROBLEM] };

function addresses({ url }: Service): Addresses {
  return new Addresses("/api/execute", url.href);
}

test("the problems of a program are the service's", async (t) => {
  const service = await serve(t, (_, response) => json(response, 200, REFUSED));
  assert.deepEqual(await new Checker().check(addresses(service), "import os"), [PROBLEM]);
  assert.deepEqual(service.asked, [{ method: "POST", path: "/api/check", body: { code: "import os" } }]);
});

test("nothing is asked of an empty program", async (t) => {
  const service = await serve(t, (_, response) => json(response, 200, REFUSED));
  assert.deepEqual(await new Checker().check(addresses(service), " \n"), []);
  assert.deepEqual(service.asked, []);
});

test("a service that says wait is left alone as long as it says", async (t) => {
  let now = 0;
  t.mock.method(performance, "now", () => now);
  const service = await serve(t, (_, response) => {
    if (service.asked.length === 1) json(response, 429, {}, { "Retry-After": "7" });
    else json(response, 200, REFUSED);
  });
  const checker = new Checker();
  assert.deepEqual(await checker.check(addresses(service), "import os"), []);
  now = 6999;
  assert.deepEqual(await checker.check(addresses(service), "import os"), []);
  assert.equal(service.asked.length, 1);
  now = 7000;
  assert.deepEqual(await checker.check(addresses(service), "import os"), [PROBLEM]);
});

test("a service without checks is not asked again", async (t) => {
  let now = 0;
  t.mock.method(performance, "now", () => now);
  const service = await serve(t, (_, response) => json(response, 404, {}));
  const checker = new Checker();
  await checker.check(addresses(service), "x");
  now = 1e12;
  await checker.check(addresses(service), "x");
  assert.equal(service.asked.length, 1);
});

test("a newer question ends an older one", async (t) => {
  let answerOlder: () => void = () => assert.fail("the older question has not come");
  const service = await serve(t, ({ body }, response) => {
    if ((body as { code: string }).code === "new") json(response, 200, { ...REFUSED, problems: [] });
    else answerOlder = () => json(response, 200, REFUSED);
    if (service.asked.length === 1) come();
  });
  let come: () => void = () => undefined;
  const asked = new Promise<void>((resolve) => (come = resolve));
  const checker = new Checker();
  const older = checker.check(addresses(service), "old");
  await asked;
  assert.deepEqual(await checker.check(addresses(service), "new"), []);
  answerOlder();
  assert.deepEqual(await older, []);
});
