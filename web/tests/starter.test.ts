import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { dedent, Draft } from "../src/starter.js";

test("the indentation that all lines share is taken off, and empty lines around", () => {
  assert.equal(dedent("\n    if x:\n        y\n\n    z\n  "), "if x:\n    y\n\nz");
  assert.equal(dedent("a\n  b"), "a\n  b");
  assert.equal(dedent("  a\r\n  b\r\n"), "a\nb");
  assert.equal(dedent("\t\tif x:\n\t\t\ty"), "if x:\n\ty");
});

test("a shorter, empty line in between does not count", () => {
  assert.equal(dedent("    a\n \n    b"), "a\n\nb");
});

test("nothing is left of blanks", () => {
  assert.equal(dedent(""), "");
  assert.equal(dedent("  \n \n"), "");
});

/** A browser's local storage, and a page at this path. */
function browser(test: TestContext, pathname: string, storage: object): void {
  Object.assign(globalThis, { location: { pathname } });
  Object.defineProperty(globalThis, "localStorage", { value: storage, configurable: true });
  test.after(() => void Reflect.deleteProperty(globalThis, "localStorage"));
}

class Storage {
  readonly kept = new Map<string, string>();
  getItem = (key: string): string | null => this.kept.get(key) ?? null;
  setItem = (key: string, value: string): void => void this.kept.set(key, value);
  removeItem = (key: string): void => void this.kept.delete(key);
}

test("a draft is found again, and forgotten with null", (t) => {
  browser(t, "/course", new Storage());
  new Draft(null, "print(1)").save("print(2)");
  assert.equal(new Draft(null, "print(1)").load(), "print(2)");
  new Draft(null, "print(1)").save(null);
  assert.equal(new Draft(null, "print(1)").load(), null);
});

test("a draft belongs to its page and its starter code", (t) => {
  const storage = new Storage();
  browser(t, "/one", storage);
  new Draft(null, "print(1)").save("mine");
  assert.equal(new Draft(null, "print(2)").load(), null);
  browser(t, "/two", storage);
  assert.equal(new Draft(null, "print(1)").load(), null);
});

test("a draft with a name is found wherever its page has gone", (t) => {
  const storage = new Storage();
  browser(t, "/one", storage);
  new Draft("exercise", "print(1)").save("mine");
  browser(t, "/two", storage);
  assert.equal(new Draft("exercise", "print(2)").load(), "mine");
});

test("where the browser keeps nothing, nothing fails", (t) => {
  const refuse = (): never => {
    throw new Error("no storage here");
  };
  browser(t, "/one", { getItem: refuse, setItem: refuse, removeItem: refuse });
  const draft = new Draft(null, "print(1)");
  draft.save("mine");
  draft.save(null);
  assert.equal(draft.load(), null);
});
