import assert from "node:assert/strict";
import { test } from "node:test";
import { fromFragment, toFragment } from "../pages/share.js";

/** Node.js has the format that a browser has from 20.12 on; the tests in a browser share programs with every Node.js. */
function lacks(): string | false {
  try {
    new CompressionStream("deflate-raw");
    return false;
  } catch {
    return `Node.js ${process.version} has no deflate-raw`;
  }
}

test("a program comes out of a link as it went in", { skip: lacks() }, async () => {
  for (const code of ["", "print(1)\n", "print('Zoë, 日本, 🙂')\n", "x = 1\n".repeat(5000)]) {
    assert.equal(await fromFragment(await toFragment(code)), code);
  }
});

test("a link has only characters that need no escape", { skip: lacks() }, async () => {
  const codes = Array.from({ length: 200 }, (_, n) => String.fromCodePoint(n, 7 * n + 1, 1000 + n));
  for (const code of codes) assert.match(await toFragment(code), /^#z=[\w-]*$/);
});

test("long programs become short links", { skip: lacks() }, async () => {
  assert.ok((await toFragment("print('again')\n".repeat(1000))).length < 200);
});

test("what a link inflates to without end is no program, and costs nothing", { skip: lacks() }, async () => {
  const bomb = new Blob([new Uint8Array(100 << 20)]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const packed = Buffer.from(await new Response(bomb).arrayBuffer()).toString("base64url");
  const before = process.memoryUsage().arrayBuffers;
  assert.equal(await fromFragment(`#z=${packed}`), null);
  assert.ok(process.memoryUsage().arrayBuffers - before < 20 << 20);
});

test("a program may be spelled out", async () => {
  assert.equal(await fromFragment("#code=print(6*7)%0A"), "print(6*7)\n");
  assert.equal(await fromFragment("#code=a%20%3D%201\nb"), "a = 1\nb");
});

test("anything else is no program", async () => {
  for (const fragment of ["", "#", "#text", "#code", "#z", "z=abc", "#code=%", "#code=%ff", "#z=!", "#z=AAAA"]) {
    assert.equal(await fromFragment(fragment), null, fragment);
  }
});
