/**
 * `<run-code>`: a Python editor with a Run button.
 *
 *     <run-code endpoint="https://code.example.org/api/execute" timeout="10">print("hi")</run-code>
 *
 * This file is the element: its attributes, its buttons and what happens between a click on Run and the result, or
 * between one on Check my work and the grade. What a run shows is in run-view.ts, what tests show in report.ts.
 * README.md documents what a page may use, and lists the other files.
 */

import { Addresses, defaultEndpoint } from "./addresses.js";
import { Allowance } from "./allowance.js";
import { Checker } from "./check.js";
import { el, styleSheet } from "./dom.js";
import { Editor } from "./editor.js";
import type { Failure } from "./failure.js";
import type { GradeEvent, GradeRequest } from "./grade.js";
import { Grading } from "./grading.js";
import { Hint } from "./hint.js";
import { type Run, type RunEvent, start, type Transport } from "./run.js";
import { RunView } from "./run-view.js";
import { Saver } from "./saver.js";
import { Draft, readStarter } from "./starter.js";
import { Status } from "./status.js";
import { Stopwatch } from "./stopwatch.js";
import styles from "./styles.css";
import { Toolbar } from "./toolbar.js";
import type { Grade, InputFile, Problem, Result, RunRequest } from "./wire.js";

export type { Failure } from "./failure.js";
export type { Display, Grade, InputFile, OutputFile, Problem, Result, TestResult } from "./wire.js";

const KILL_AFTER = 2000; // ms from a Stop that the program does not follow to its end

const LABEL = "Python program";

export class RunCodeElement extends HTMLElement {
  static readonly observedAttributes = ["readonly", "stdin", "label", "suite"];

  /** Files that the program finds in its directory. */
  files: InputFile[] = [];
  /** sys.argv[1:] */
  args: string[] = [];

  #editor: Editor | null = null;
  #starter: string | null = null;
  #draft: Draft | null = null;
  #run: Run | null = null;
  #result: Result | null = null;
  #killing = 0;
  #stopping = false;
  #edited = false; // since the run began
  #done: ((result: Result | null) => void) | null = null;
  readonly #checker = new Checker();
  readonly #allowance = new Allowance(() => this.#showAllowance());
  readonly #saver = new Saver(() => this.#save());
  readonly #leaving = (): void => this.#saver.now();
  readonly #frame = el("div", { role: "group", ariaLabel: LABEL });
  readonly #toolbar = new Toolbar({
    run: () => void this.run(),
    check: () => void this.grade(),
    stop: () => this.stop(),
    reset: () => this.reset(),
  });
  readonly #editorBox = el("div", { className: "editor", part: "editor" });
  readonly #hint = new Hint();
  readonly #stdin = el("textarea", { rows: 2, spellcheck: false, autocapitalize: "off", ariaLabel: "Input for the program" });
  readonly #stdinBox = el("label", { className: "given", hidden: true }, el("span", {}, "Input"), this.#stdin);
  readonly #stopwatch = new Stopwatch();
  readonly #status = new Status({
    text: "Ready",
    live: true,
    goTo: (line) => this.#editor?.goTo(line),
    usage: this.#stopwatch.element,
  });
  readonly #view = new RunView({
    status: this.#status,
    typing: {
      line: (text) => this.#run?.input(text),
      end: () => this.#run?.endInput(),
      interrupt: () => this.stop(),
    },
    // who has gone on typing in the editor is not to be torn out of it
    mayFocus: () => this.matches(":focus-within") && !this.#edited,
  });
  readonly #grading = new Grading(this.#status);
  #graded = ""; // the program that was graded last
  readonly #left = el("span", { className: "allowance" });

  connectedCallback(): void {
    addEventListener("pagehide", this.#leaving);
    if (this.#editor) return;
    // a script that runs while the page is still being read sees the element before its text
    if (document.readyState === "loading" && this.#starter === null) {
      document.addEventListener("DOMContentLoaded", () => this.#build(), { once: true });
    } else this.#build();
  }

  disconnectedCallback(): void {
    removeEventListener("pagehide", this.#leaving);
    this.#saver.now();
    this.#run?.cancel();
    this.#grading.stop();
    this.#allowance.stop();
  }

  attributeChangedCallback(name: string, _: string | null, value: string | null): void {
    if (name === "readonly" && this.#editor) this.#editor.readOnly = value !== null;
    if (name === "suite") this.#toolbar.checkable = this.#suite !== "";
    if (name === "label") this.#frame.ariaLabel = value ?? LABEL;
    if (name === "stdin") {
      this.#stdin.value = value ?? "";
      this.#stdinBox.hidden = value === null;
    }
  }

  /** The program in the editor. */
  get code(): string {
    return this.#editor?.code ?? this.starter;
  }

  set code(text: string) {
    this.#hint.show([]);
    if (this.#editor) this.#editor.code = text;
    else this.#starter = text;
  }

  /** What Reset goes back to; setting it shows it, or the draft that the learner has of it. */
  get starter(): string {
    return this.#starter ?? readStarter(this);
  }

  set starter(text: string) {
    this.#starter = text;
    if (this.#editor) this.#open();
  }

  /** Whether the program runs, or is graded, now. */
  get running(): boolean {
    return this.#run !== null || this.#grading.running;
  }

  /** What came of the last run; null before the first, while one is under way, and where the service gave none. */
  get result(): Result | null {
    return this.#result;
  }

  /** What came of the last grade; null before the first, while one is under way, and where the service gave none. */
  get graded(): Grade | null {
    return this.#grading.grade;
  }

  /** Run the program; resolves with its result, or with null where there is none. */
  async run(): Promise<Result | null> {
    if (!this.#begin()) return null;
    this.#result = null;
    this.#view.begin();
    this.#grading.report.recap(this.#graded !== this.code);
    this.#setRunning(true);
    this.#status.say("busy", "Starting");
    const result = new Promise<Result | null>((resolve) => (this.#done = resolve));
    const addresses = this.addresses();
    this.#emit("run-start", { code: this.code });
    this.#run = start(addresses, this.runRequest(), this.#transport(), (event) => this.#on(event));
    this.#showRunnable();
    return result;
  }

  /** Grade the program by the tests of the `suite`; resolves with the grade, or with null where there is none. */
  async grade(): Promise<Grade | null> {
    if (!this.#suite || !this.#begin()) return null;
    const request = this.gradeRequest();
    this.#graded = this.code;
    this.#showMistakes([]);
    this.#setRunning(true);
    this.#emit("grade-start", { code: this.code });
    const grade = this.#grading.start(this.addresses(), request, (event) => this.#onGrade(event));
    this.#stopwatch.start();
    this.#showRunnable();
    return grade;
  }

  /** Interrupt the program, as Ctrl-C does; end it if it does not follow, or at a second call. A grade ends at once. */
  stop(): void {
    this.#grading.stop();
    if (!this.#run) return;
    if (this.#stopping || !this.#stopwatch.running) {
      this.#stopping = true;
      this.#run.cancel();
      return;
    }
    this.#stopping = true;
    this.#status.say("busy", "Stopping");
    this.#run.interrupt();
    this.#killing = window.setTimeout(() => this.#run?.cancel(), KILL_AFTER);
  }

  /** Bring the starter code back, as an edit that can be undone. */
  reset(): void {
    if (!this.#editor) return;
    this.code = this.starter;
    this.#saver.now();
    if (!this.running) {
      this.clear();
      this.#status.say("", "Starter code restored");
    }
    this.#editor.view.focus();
  }

  /** Empty the console, take the marks off the code, and show no tests. */
  clear(): void {
    this.#result = null;
    this.#grading.clear();
    this.#view.clear();
    this.#hint.show([]);
  }

  override focus(): void {
    this.#editor?.view.focus();
  }

  #build(): void {
    if (this.#editor || !this.isConnected) return;
    this.#starter ??= readStarter(this);
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [styleSheet(styles)];
    root.append(this.#frame);
    this.#frame.append(
      this.#toolbar.element,
      this.#editorBox,
      this.#hint.element,
      this.#stdinBox,
      el("div", { className: "results" }, this.#view.console.element, this.#grading.report.element),
      el("div", { className: "foot", part: "status" }, this.#status.element, this.#stopwatch.element, this.#left),
    );
    this.#editor = new Editor({
      parent: this.#editorBox,
      root,
      changed: () => this.#changed(),
      run: () => void this.run(),
      check: (code) => this.#check(code),
    });
    this.#view.editor = this.#editor;
    this.#editor.readOnly = this.hasAttribute("readonly");
    this.#open();
  }

  /** Show the starter code, or the draft that there is of it. */
  #open(): void {
    if (!this.#editor) return;
    const storage = this.getAttribute("storage");
    this.#draft = storage === "off" ? null : new Draft(storage, this.starter);
    this.#editor.open(this.#draft?.load() ?? this.starter);
    this.clear();
    this.#status.say("", "Ready");
    this.#toolbar.resettable = this.code !== this.starter;
  }

  #changed(): void {
    this.#edited = true;
    this.#grading.report.recap(this.#graded !== this.code);
    this.#toolbar.resettable = this.code !== this.starter;
    this.#saver.later();
    this.#emit("code-change", { code: this.code });
  }

  #save(): void {
    if (this.#editor) this.#draft?.save(this.code === this.starter ? null : this.code);
  }

  get #suite(): string {
    return this.getAttribute("suite")?.trim() ?? "";
  }

  /** Get ready for a run or a grade; whether there may be one now. */
  #begin(): boolean {
    if (!this.#editor || this.running) return false;
    if (this.#allowance.exhausted) {
      this.#status.say("bad", "No runs left for now");
      return false;
    }
    this.#hint.show([]);
    this.#saver.now();
    this.#stopping = false;
    this.#edited = false;
    return true;
  }

  /** @internal Where the service is. */
  protected addresses(): Addresses {
    const token = this.getAttribute("token")?.trim() ?? "";
    return new Addresses(this.getAttribute("endpoint") || defaultEndpoint(), document.baseURI, token);
  }

  /** @internal What is sent to be graded. */
  protected gradeRequest(): object {
    return { code: this.code, suiteId: this.#suite, ...(this.files.length > 0 ? { files: this.files } : {}) } satisfies GradeRequest;
  }

  #transport(): Transport {
    const value = this.getAttribute("transport");
    return value === "sse" || value === "websocket" ? value : "auto";
  }

  /** @internal What is sent to be run. */
  protected runRequest(): RunRequest {
    const timeout = Number(this.getAttribute("timeout"));
    return {
      code: this.code,
      language: "python",
      ...(timeout > 0 ? { timeout } : {}),
      ...(this.#stdin.value ? { stdin: this.#stdin.value } : {}),
      ...(this.args.length > 0 ? { args: this.args } : {}),
      ...(this.files.length > 0 ? { files: this.files } : {}),
      ...(this.getAttribute("display") === "off" ? {} : { display: true }),
    };
  }

  #on(event: RunEvent): void {
    this.#view.show(event);
    switch (event.type) {
      case "rate":
        this.#allowance.update(event.rate);
        break;
      case "started":
        this.#stopwatch.start();
        this.#status.say("busy", "Running");
        break;
      case "stdout":
      case "stderr":
        this.#emit("run-output", { stream: event.type, data: event.data });
        break;
      case "waiting":
        this.#emit("run-waiting", {});
        break;
      case "display":
        this.#emit("run-display", event);
        break;
      case "file":
        this.#emit("run-file", event);
        break;
      case "result":
        this.#finish(event);
        break;
      case "problem":
        this.#fail(event);
        break;
    }
  }

  #finish(result: Result): void {
    const interactive = this.#run?.interactive ?? false;
    const { console } = this.#view;
    this.#result = result;
    this.#setRunning(false);
    this.#view.finish(result);
    if (console.empty) console.note("The program wrote nothing.");
    if (result.filesOmitted) console.note(`${result.filesOmitted} more files were too many, or too large.`);
    if (!interactive && /^EOFError/m.test(result.error)) {
      this.#stdinBox.hidden = false;
      console.note("The program asked for input. Write it into the box “Input” above, then run it again.");
    }
    this.#emit("run-result", result);
    this.#settle(result);
  }

  #fail(failure: Failure): void {
    const limited = failure.status === 429;
    if (limited) this.#allowance.refuse(failure.retryAfter ?? 1);
    this.#setRunning(false);
    if (this.#stopping && failure.status === 0) this.#view.stop();
    else this.#view.fail(failure, limited ? "Too many runs" : failure.title);
    this.#emit("run-problem", failure);
    this.#settle(null);
  }

  #onGrade(event: GradeEvent): void {
    const { type: _, ...detail } = event;
    if (event.type === "rate") this.#allowance.update(event.rate);
    else if (event.type === "test") this.#emit("grade-test", detail);
    else if (event.type === "grade") {
      this.#setRunning(false);
      if (this.#edited) this.#grading.report.recap(this.#graded !== this.code);
      else this.#showMistakes(event.problems);
      this.#emit("grade-result", detail);
    } else {
      if (event.status === 429) this.#allowance.refuse(event.retryAfter ?? 1);
      this.#setRunning(false);
      this.#emit("grade-problem", detail);
    }
  }

  /** Show what is refused, in the editor and below it. */
  #showMistakes(problems: readonly Problem[]): void {
    this.#hint.show(problems);
    this.#editor?.showProblems(problems);
    this.#editor?.markLine(problems[0]?.line ?? null);
  }

  #settle(result: Result | null): void {
    this.#done?.(result);
    this.#done = null;
  }

  #setRunning(on: boolean): void {
    clearTimeout(this.#killing);
    this.#stopwatch.stop();
    this.toggleAttribute("running", on);
    if (!on) this.#run = null;
    this.#toolbar.stoppable = on;
    this.#showRunnable();
  }

  #showAllowance(): void {
    this.#left.textContent = this.#allowance.text;
    this.#left.classList.toggle("none", this.#allowance.exhausted);
    this.#showRunnable();
  }

  #showRunnable(): void {
    this.#toolbar.runnable = !this.running && !this.#allowance.exhausted;
  }

  async #check(code: string): Promise<Problem[]> {
    if (this.getAttribute("check") === "off") return [];
    const problems = await this.#checker.check(this.addresses(), code);
    if (this.code === code) this.#hint.show(problems);
    return problems;
  }

  #emit(name: string, detail: object): void {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }
}

if (!customElements.get("run-code")) customElements.define("run-code", RunCodeElement);

declare global {
  interface HTMLElementTagNameMap {
    "run-code": RunCodeElement;
  }
}
