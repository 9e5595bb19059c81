import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { isSecret, keyId, makeToken, nameProblem } from "../pages/signing.js";

const SECRET = `ces_${"aB3-_".repeat(8)}xyz`;

test("a token is a JWT of its claims, signed with the text of the secret", async () => {
  const token = await makeToken("k3x9q2pa", ` ${SECRET}\n`, { sub: "Бобби", exp: 1_800_000_000, course: "cs1" });
  const [head = "", claims = "", signature = ""] = token.split(".");
  const read = (text: string): unknown => JSON.parse(Buffer.from(text, "base64url").toString());
  assert.deepEqual(read(head), { alg: "HS256", kid: "k3x9q2pa", typ: "JWT" });
  assert.deepEqual(read(claims), { aud: "code-executor", sub: "Бобби", exp: 1_800_000_000, course: "cs1" });
  assert.equal(signature, createHmac("sha256", SECRET).update(`${head}.${claims}`).digest("base64url"));
});

test("the id of a key is found in all of it too", () => {
  for (const text of ["k3x9q2pa", " ce_k3x9q2pa ", "ce_k3x9q2pa_0AbcZ9"]) assert.equal(keyId(text), "k3x9q2pa");
  for (const text of ["", "k3x9q2p", "K3X9Q2PA", "ces_k3x9q2pa", "k3x9q2pa_"]) assert.equal(keyId(text), null);
});

test("a secret that was cut off is none", () => {
  assert.ok(isSecret(SECRET));
  for (const text of ["", SECRET.slice(0, -1), SECRET.replace("ces_", "ce_"), `${SECRET}=`]) assert.ok(!isSecret(text));
});

test("names are as the server has them", () => {
  for (const name of ["4711", "Ada Lovelace", "Бобби", "x".repeat(128)]) assert.equal(nameProblem(name), null);
  for (const name of ["x".repeat(129), "é".repeat(65), "a\tb", "a\u00a0b", "a\u200bb"]) assert.ok(nameProblem(name));
});
