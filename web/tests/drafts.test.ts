import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { KeptDraft } from "../src/labs-wire.js";
import type { Put } from "../src/labs/client.js";
import { Drafts, type DraftState, SAVE_EVERY } from "../src/labs/drafts.js";
import { forgetLearner, forgetOthers, Shelf, type Store } from "../src/labs/shelf.js";
import { Clock } from "./clock.js";

const STARTER = "# begin";

class Kept implements Store {
  readonly #kept = new Map<string, string>();
  full = false;

  get length(): number {
    return this.#kept.size;
  }

  get keys(): string[] {
    return [...this.#kept.keys()];
  }

  key = (at: number): string | null => this.keys[at] ?? null;
  getItem = (key: string): string | null => this.#kept.get(key) ?? null;
  removeItem = (key: string): void => void this.#kept.delete(key);
  setItem = (key: string, value: string): void => {
    if (this.full) throw new Error("full");
    this.#kept.set(key, value);
  };
}

/** A service that takes a draft only if it follows on its own. */
class Service {
  draft: KeptDraft | null = null;
  down: number | null = null;
  puts = 0;

  async put(code: string, revision: number | null): Promise<Put> {
    this.puts += 1;
    if (this.down !== null) throw Object.assign(new Error("Down."), { status: this.down });
    if ((this.draft?.revision ?? null) !== revision) return { other: this.draft as KeptDraft };
    this.draft = { code, revision: (revision ?? 0) + 1, saved: "2026-11-30T12:00:00Z" };
    return { saved: this.draft };
  }
}

/** One window of a browser. */
class Window {
  readonly shelf: Shelf;
  readonly drafts: Drafts;
  state: DraftState = { kind: "clean" };
  code: string;

  constructor(store: Store, readonly service: Service, name: string) {
    let seconds = 0;
    this.shelf = new Shelf(store, "ada", "py", "double", name);
    this.drafts = new Drafts({
      shelf: this.shelf,
      starter: STARTER,
      put: (code, revision) => service.put(code, revision),
      show: (state) => (this.state = state),
      replace: (code) => this.type(code),
      now: () => new Date(Date.UTC(2026, 10, 30, 12, 0, seconds++)),
    });
    this.code = this.drafts.open(service.draft);
  }

  type(code: string): void {
    this.code = code;
    this.drafts.changed(code);
  }
}

function browser(t: TestContext): { clock: Clock; store: Kept; service: Service; window: (name: string) => Window } {
  const [clock, store, service] = [new Clock(t), new Kept(), new Service()];
  return { clock, store, service, window: (name) => new Window(store, service, name) };
}

/** Let promises that are settled be heard. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("what is typed is in the browser at once, and at the service ten seconds later, once", async (t) => {
  const { clock, service, window } = browser(t);
  const one = window("1");
  assert.equal(one.code, STARTER);
  one.type("a");
  one.type("ab");
  assert.equal(one.state.kind, "pending");
  assert.equal(window("2").code, "ab");
  clock.pass(SAVE_EVERY - 1);
  assert.equal(service.puts, 0);
  clock.pass(1);
  await settled();
  assert.equal(service.draft?.code, "ab");
  assert.equal(one.state.kind, "saved");
  clock.pass(5 * SAVE_EVERY);
  await settled();
  assert.equal(service.puts, 2); // the second window had the same to save
});

test("a window that was closed before it saved gives its program to the next", async (t) => {
  const { clock, service, window } = browser(t);
  window("1").type("unsaved");
  const two = window("2");
  assert.equal(two.code, "unsaved");
  clock.pass(SAVE_EVERY);
  await settled();
  assert.equal(service.draft?.code, "unsaved");
});

test("without a connection it is kept, and saved later", async (t) => {
  const { clock, service, window } = browser(t);
  const one = window("1");
  service.down = 0;
  one.type("offline");
  clock.pass(SAVE_EVERY);
  await settled();
  assert.deepEqual(one.state, { kind: "unsaved", status: 0, detail: "Down." });
  assert.equal(window("2").code, "offline");
  service.down = null;
  clock.pass(SAVE_EVERY);
  await settled();
  assert.equal(service.draft?.code, "offline");
});

test("what the service refuses for good is not sent again and again", async (t) => {
  const { clock, service, window } = browser(t);
  const one = window("1");
  service.down = 413;
  one.type("long");
  clock.pass(10 * SAVE_EVERY);
  await settled();
  clock.pass(10 * SAVE_EVERY);
  assert.equal(service.puts, 1);
});

for (const mine of [true, false]) {
  test(`of two windows' versions both are there: ${mine ? "mine" : "the other"} is taken, and the other one kept`, async (t) => {
    const { service, window } = browser(t);
    const [one, two] = [window("1"), window("2")];
    one.type("first");
    await one.drafts.save();
    two.type("second");
    await two.drafts.save();
    assert.equal(two.state.kind, "conflict");
    assert.equal(service.draft?.code, "first");
    two.type("second, longer");
    await two.drafts.save(); // nothing is sent before the learner has chosen
    assert.equal(service.draft?.code, "first");
    await two.drafts.choose(mine);
    assert.equal(service.draft?.code, mine ? "second, longer" : "first");
    assert.equal(two.code, mine ? "second, longer" : "first");
    assert.deepEqual(two.shelf.kept.map(({ code }) => code), [mine ? "first" : "second, longer"]);
    assert.equal(two.state.kind, "saved");
  });
}

test("an unsaved program on an older draft is not put in place of a newer one", (t) => {
  const { service, window } = browser(t);
  window("1").type("old, unsaved");
  service.draft = { code: "newer, from another machine", revision: 4, saved: "2026-11-30T12:30:00Z" };
  const two = window("2");
  assert.equal(two.code, "old, unsaved");
  assert.deepEqual(two.state, { kind: "conflict", other: service.draft });
});

test("the same program in two windows is no conflict", async (t) => {
  const { window } = browser(t);
  const [one, two] = [window("1"), window("2")];
  one.type("same");
  await one.drafts.save();
  two.type("same");
  await two.drafts.save();
  assert.equal(two.state.kind, "saved");
});

test("a window with nothing unsaved follows on another", async (t) => {
  const { service, window } = browser(t);
  const [one, two] = [window("1"), window("2")];
  one.type("newer");
  await one.drafts.save();
  two.drafts.refresh(service.draft);
  assert.equal(two.code, "newer");
  assert.equal(two.state.kind, "followed");
  two.type("and more");
  await two.drafts.save();
  assert.equal(service.draft?.code, "and more");
});

test("what two closed windows did not save is not lost: the newest is shown, the other kept", (t) => {
  const { store, window } = browser(t);
  const [one, two] = [window("1"), window("2")];
  one.type("one");
  two.type("two");
  two.type("two again");
  const three = window("3");
  assert.equal(three.code, "two again");
  assert.deepEqual(three.shelf.kept.map(({ code }) => code), ["one"]);
  assert.equal(store.keys.filter((key) => key.startsWith("labs:draft:")).length, 1);
});

test("a browser that is full says so", (t) => {
  const { store, window } = browser(t);
  const one = window("1");
  store.full = true;
  one.type("a");
  assert.equal(one.shelf.keeps, false);
});

test("what others have at the service is forgotten here, what they have not is not", async (t) => {
  const { store, window } = browser(t);
  const one = window("1");
  one.type("a");
  forgetOthers(store, "bob");
  assert.equal(store.length, 1);
  await one.drafts.save();
  forgetOthers(store, "ada");
  assert.equal(store.length, 1);
  forgetOthers(store, "bob");
  assert.equal(store.length, 0);
});

test("a learner who is deleted leaves nothing in the browser", (t) => {
  const { store, window } = browser(t);
  window("1").type("a");
  new Shelf(store, "ada", "py", "other", "1").keep({ code: "b", at: "" });
  forgetLearner(store, "ada");
  assert.equal(store.length, 0);
});

test("what a page saved while it was left is no other window's", async (t) => {
  const { service, window } = browser(t);
  window("1").type("left");
  const two = window("2"); // which asks before the service has it
  service.draft = { code: "left", revision: 1, saved: "2026-11-30T12:00:00Z" };
  two.type("left, and more");
  await two.drafts.save();
  await two.drafts.save();
  assert.equal(two.state.kind, "saved");
  assert.equal(service.draft?.code, "left, and more");
});
