/** What came of the tests of a grade: a line for each as it ends, and what there is to see of it. */

import { el, icon } from "./dom.js";
import { nameOf, outcomeOf, points, sentenceOf, type Standing, standing, word } from "./verdicts.js";
import { legend, pieces, spoken, unmarked } from "./visible.js";
import type { Grade, GroupResult, TestCase, TestResult } from "./wire.js";

const ICONS: Record<Standing, string> = {
  passed: "M6.4 12.6a.9.9 0 0 1-.65-.27L2.6 9.1a.9.9 0 1 1 1.3-1.25l2.5 2.55 5.7-5.95a.9.9 0 0 1 1.3 1.25l-6.35 6.63a.9.9 0 0 1-.65.27Z",
  failed: "M4.3 3.1 8 6.8l3.7-3.7a.85.85 0 0 1 1.2 1.2L9.2 8l3.7 3.7a.85.85 0 0 1-1.2 1.2L8 9.2l-3.7 3.7a.85.85 0 0 1-1.2-1.2L6.8 8 3.1 4.3a.85.85 0 0 1 1.2-1.2Z",
  skipped: "M3.5 7.1h9a.9.9 0 0 1 0 1.8h-9a.9.9 0 0 1 0-1.8Z",
  error: "M8 1.8a1 1 0 0 1 1 1v5.9a1 1 0 1 1-2 0V2.8a1 1 0 0 1 1-1Zm0 9.7a1.3 1.3 0 1 1 0 2.6 1.3 1.3 0 0 1 0-2.6Z",
};

export class Report {
  readonly element: HTMLElement;
  readonly #note = el("p", { className: "note", hidden: true });
  readonly #tests = el("ol", { className: "results-of-tests", role: "list", ariaLabel: "Tests" });
  readonly #groups = el("ul", { className: "results-of-tests", role: "list", ariaLabel: "Groups of tests" });
  readonly #groupsBox = el("div", { className: "groups", hidden: true }, el("p", { className: "title" }, "Groups"), this.#groups);
  #opened = false;
  #outcome = ""; // of all of it, once it is over

  constructor() {
    this.element = el(
      "div",
      { className: "tests", part: "tests", role: "group", ariaLabel: "What the tests found", tabIndex: 0, hidden: true },
      this.#note,
      this.#tests,
      this.#groupsBox,
    );
  }

  clear(): void {
    this.#tests.replaceChildren();
    this.#groupsBox.hidden = true;
    this.#opened = false;
    this.#outcome = "";
    this.#say("");
    this.element.hidden = true;
  }

  /** Show a test that is over. The first that was not passed is open. */
  add(test: TestResult): void {
    const details = detailsOf(test);
    const open = !this.#opened && standing(test) !== "passed" && details.length > 0;
    this.#opened ||= open;
    this.#tests.append(itemOf(standing(test), nameOf(test), word(test), points(test.score, test.max), details, open));
    this.element.hidden = false;
  }

  /** Show what is known at the end only. */
  end(grade: Grade): void {
    const { groups, tests, problems } = grade;
    this.#outcome = outcomeOf(grade);
    this.#groups.replaceChildren(...groups.map(groupItem));
    this.#groupsBox.hidden = groups.length === 0;
    if (problems.length > 0) {
      this.#tests.replaceChildren(); // they were not run
      this.#say("No test was run, because of the mistake that is marked in the program.");
    } else if (tests.length === 0) this.#say("The tests of this task are not shown.");
    this.element.hidden = false;
  }

  /** Show why there is no grade, below the tests that were over. */
  fail(detail: string): void {
    this.#say(detail, "refusal");
    this.element.hidden = false;
  }

  /** Say what all of it came to, which is said elsewhere until something else is; `changed`: of an older program. */
  recap(changed: boolean): void {
    if (this.#outcome) this.#say(`${this.#outcome}.${changed ? " The program was changed since then." : ""}`);
  }

  #say(text: string, style: "note" | "refusal" = "note"): void {
    this.#note.className = style;
    this.#note.textContent = text;
    this.#note.hidden = !text;
  }
}

function groupItem({ id, passed, score, max }: GroupResult): HTMLElement {
  return itemOf(passed ? "passed" : "failed", id, passed ? "Passed" : "Not passed", points(score, max));
}

function itemOf(kind: Standing, name: string, said: string, scored: string, details: Node[] = [], open = false): HTMLElement {
  const line = [...judged(kind, name, said), el("span", { className: "points" }, scored)];
  const row =
    details.length > 0
      ? el("details", { open }, el("summary", { className: "row" }, ...line), el("div", { className: "found" }, ...details))
      : el("div", { className: "row" }, ...line);
  return el("li", { className: kind }, row);
}

function judged(kind: Standing, name: string, said: string): Node[] {
  return [icon(ICONS[kind]), el("span", { className: "verdict" }, said), el("span", { className: "test-name" }, name)];
}

/** One of the unit tests that a test consists of. */
function caseItem(each: TestCase): HTMLElement {
  const kind = standing(each);
  const said = each.message ? [el("pre", {}, each.message)] : [];
  return el("li", { className: kind }, el("div", { className: "row" }, ...judged(kind, each.id, word(each))), ...said);
}

/** What there is to see of a test; nothing if its author lets nobody see more than whether it was passed. */
function detailsOf(test: TestResult): Node[] {
  const failed = standing(test) !== "passed";
  const found: Node[] = [];
  if (failed && test.message) found.push(el("p", {}, sentenceOf(test.message)));
  if (failed && test.hint) found.push(el("p", { className: "advice" }, el("strong", {}, "Hint: "), test.hint));
  const cases = test.cases ?? [];
  if (cases.length > 0) found.push(el("ul", { className: "results-of-tests", role: "list", ariaLabel: "Unit tests" }, ...cases.map(caseItem)));
  const texts = failed ? difference(test) : [];
  if (texts.length > 0) {
    const line = test.diff && test.diff.line !== null ? ` on line ${test.diff.line}` : "";
    if (test.diff) found.push(el("p", { className: "where" }, `The first difference${line}:`));
    found.push(el("div", { className: "compared" }, ...texts.map(([title, text]) => compared(title, text))));
  }
  const others = [...inputs(test), ...outputs(test)];
  found.push(...others.map(([title, text]) => block(title, text)));
  const marks = legend([...texts, ...others].flatMap(([, text]) => (text === null ? [] : [text])));
  if (marks.length > 0) {
    const meanings = marks.map(([mark, name]) => `${mark} ${name}`).join(", ");
    found.push(el("p", { className: "legend" }, `Marks: ${meanings}`));
  }
  return found;
}

type Titled = [title: string, text: string | null];

/** What was expected and what came, as far as that may be seen. */
function difference({ diff, expected, got }: TestResult): Titled[] {
  if (diff) {
    const [one, other] = [diff.expected, diff.got].map((text) => (text === null ? null : unmarked(text)));
    if (one === null && other === null) return [];
    return [
      ["Expected", one ?? null],
      ["Got", other ?? null],
    ];
  }
  const told: Titled[] = [];
  if (expected !== undefined && expected !== null) told.push(["Expected", expected]);
  if (got !== undefined && got !== null) told.push(["Got", got]);
  return told;
}

function inputs({ input }: TestResult): Titled[] {
  const { call, setup, args, stdin } = (input ?? {}) as { call?: string; setup?: string; args?: string[]; stdin?: string };
  const told: Titled[] = [
    ["Before the call", setup ?? ""],
    ["Call", call ?? ""],
    ["Arguments", (args ?? []).join(" ")],
    ["Input", stdin ?? ""],
  ];
  return told.filter(([, text]) => text);
}

function outputs({ stdout, stderr, detail }: TestResult): Titled[] {
  const told: Titled[] = [
    ["Output of your program", stdout ?? ""],
    ["Errors of your program", stderr ?? ""],
    ["Details", detail ?? ""],
  ];
  return told.filter(([, text]) => text);
}

/** One of two texts side by side. A screen reader says the white space in which they differ. */
function compared(title: string, text: string | null): HTMLElement {
  const shown =
    text === null
      ? [el("p", { className: "note" }, "nothing")]
      : [el("pre", { ariaHidden: "true" }, ...marked(text)), el("p", { className: "spoken" }, spoken(text) || "nothing")];
  return el("div", {}, el("p", { className: "title" }, title), ...shown);
}

function block(title: string, text: string | null): HTMLElement {
  return el("div", { className: "block" }, el("p", { className: "title" }, title), el("pre", {}, ...marked(text ?? "")));
}

/** A text with its marks. What is copied of it has the white space itself. */
function marked(text: string): (Node | string)[] {
  return pieces(text).map(({ text, mark }) => {
    if (mark === undefined) return text;
    return /[ \t\n]/.test(text) ? el("span", { className: "mark", "data-mark": mark }, text) : el("span", { className: "sign" }, mark);
  });
}
