import assert from "node:assert/strict";
import { test } from "node:test";
import { after, asTheme, storedTheme } from "../pages/theme.js";

test("what is no theme is the reader's own", () => {
  assert.deepEqual(["dark", "light", "auto", "pink", "", null].map(asTheme), ["dark", "light", "auto", "auto", "auto", "auto"]);
});

test("the button goes round", () => {
  assert.deepEqual([after("auto"), after("light"), after("dark")], ["light", "dark", "auto"]);
});

test("without storage the theme is the reader's own", () => {
  assert.equal(storedTheme(), "auto");
});
