import assert from "node:assert/strict";
import { test } from "node:test";
import { legend, pieces, spoken, unmarked } from "../src/visible.js";

/** A text as it looks. */
function seen(text: string): string {
  return pieces(text)
    .map(({ text, mark }) => mark ?? text)
    .join("");
}

test("every character can be seen", () => {
  assert.equal(seen("a b\tc\r\n"), "a·b→c␍↵");
  assert.equal(seen("\0\x1b[1m\x7f"), "␀␛[1m␡");
  assert.equal(seen("\u00a0\u200b\u202e\ufeff\u0085\ud800"), "⍽[U+200B][U+202E][U+FEFF][U+0085][U+D800]");
  assert.equal(seen("日本, 🙂 ünï"), "日本,·🙂·ünï");
  assert.equal(seen(""), "");
});

test("pieces are the text again", () => {
  const text = "one  two\r\n\tthree\u200b 🙂";
  assert.equal(pieces(text).map((piece) => piece.text).join(""), text);
});

test("what the service shows is read back", () => {
  assert.equal(unmarked("a·b→c␍␊"), "a b\tc\r\n");
  assert.equal(unmarked("␀␛␡⍽x…"), "\0\x1b\x7f\u00a0x…");
  assert.equal(seen(unmarked("a··b␊")), "a··b↵");
});

test("a screen reader says the spaces that it would pass over", () => {
  assert.equal(spoken("3 4"), "3 4");
  assert.equal(spoken("3  4 "), "3(2 spaces)4(space)");
  assert.equal(spoken(" x"), "(space)x");
  assert.equal(spoken("a\tb\n"), "a (tab) b (end of the line)");
  assert.equal(spoken("a \nb\u200b"), "a(space) (end of the line) b (character U+200B)");
  assert.equal(spoken(""), "");
});

test("a legend has the marks that are there, once", () => {
  assert.deepEqual(legend(["a b c", "d\t"]), [
    ["·", "space"],
    ["→", "tab"],
  ]);
  assert.deepEqual(legend(["abc"]), []);
});
