/**
 * `<run-code>`: a Python editor with a Run button.
 *
 *     <run-code endpoint="https://code.example.org/api/execute" timeout="10">print("hi")</run-code>
 *
 * This file is the element: its attributes, its buttons and what happens between a click on Run and the result. The
 * editor, the console and the wire are in files of their own; README.md documents what a page may use.
 */

import { Allowance } from "./allowance.js";
import { Checker } from "./check.js";
import { Console } from "./console.js";
import { el, icon } from "./dom.js";
import { Editor } from "./editor.js";
import { type Run, start, type Transport } from "./run.js";
import { Draft, readStarter } from "./starter.js";
import styles from "./styles.css";
import { Addresses, type Failure, type InputFile, type Problem, type Result, type RunEvent, type RunRequest } from "./wire.js";
import { duration, outcome, sentence, usage } from "./words.js";

export type { Display, Failure, InputFile, OutputFile, Problem, Result } from "./wire.js";

const SAVE_AFTER = 300; // ms without a key
const KILL_AFTER = 2000; // ms from a Stop that the program does not follow to its end

const LABEL = "Python program";

const PLAY = "M4 2.6v10.8a.6.6 0 0 0 .9.5l9-5.4a.6.6 0 0 0 0-1l-9-5.4a.6.6 0 0 0-.9.5Z";
const SQUARE = "M4.5 3h7A1.5 1.5 0 0 1 13 4.5v7a1.5 1.5 0 0 1-1.5 1.5h-7A1.5 1.5 0 0 1 3 11.5v-7A1.5 1.5 0 0 1 4.5 3Z";
const BACK = "M8 2.5a5.5 5.5 0 1 1-5.2 3.7.75.75 0 0 1 1.4.5A4 4 0 1 0 8 4H6.3l1 1a.75.75 0 1 1-1.1 1.1L3.9 3.8a.75.75 0 0 1 0-1.1L6.2.4a.75.75 0 0 1 1.1 1.1l-1 1H8Z";

let sheet: CSSStyleSheet | undefined;

/** A constructed style sheet: a page's Content-Security-Policy has nothing against those. */
function styleSheet(): CSSStyleSheet {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(styles);
  }
  return sheet;
}

/** The service that this very script came from; for a copy in somebody's bundle, the page's own server. */
function defaultEndpoint(): string {
  const url = new URL(import.meta.url, document.baseURI);
  const served = url.protocol.startsWith("http") && /\/assets\/run-code[^/]*\.js$/.test(url.pathname);
  return served ? new URL("../api/execute", url).href : "/api/execute";
}

export class RunCodeElement extends HTMLElement {
  static readonly observedAttributes = ["readonly", "stdin", "label"];

  /** Files that the program finds in its directory. */
  files: InputFile[] = [];
  /** sys.argv[1:] */
  args: string[] = [];

  #editor: Editor | null = null;
  #starter: string | null = null;
  #draft: Draft | null = null;
  #saving = 0;
  #run: Run | null = null;
  #result: Result | null = null;
  #wrote = ""; // to stderr, so far
  #began = 0;
  #clock = 0;
  #killing = 0;
  #stopping = false;
  #edited = false; // since the run began
  #done: ((result: Result | null) => void) | null = null;
  readonly #checker = new Checker();
  readonly #allowance = new Allowance(() => this.#showAllowance());

  readonly #leaving = (): void => this.#save();
  readonly #frame = el("div", { role: "group", ariaLabel: LABEL });
  readonly #resetButton = el(
    "button",
    { type: "button", className: "quiet", part: "reset", title: "Back to the starter code", onclick: () => this.reset() },
    icon(BACK),
    el("span", {}, "Reset"),
  );
  readonly #stopButton = el(
    "button",
    { type: "button", className: "stop", part: "stop", hidden: true, onclick: () => this.stop() },
    icon(SQUARE),
    el("span", {}, "Stop"),
  );
  readonly #runButton = el(
    "button",
    { type: "button", className: "run", part: "run", title: "Run the program (Ctrl-Enter or ⌘-Enter)", onclick: () => void this.run() },
    icon(PLAY),
    el("span", {}, "Run"),
  );
  readonly #editorBox = el("div", { className: "editor", part: "editor" });
  readonly #hint = el("p", { className: "hint", role: "status", hidden: true });
  readonly #stdin = el("textarea", { rows: 2, spellcheck: false, autocapitalize: "off", ariaLabel: "Input for the program" });
  readonly #stdinBox = el("label", { className: "given", hidden: true }, el("span", {}, "Input"), this.#stdin);
  readonly #console = new Console({
    line: (text) => this.#run?.input(text),
    end: () => this.#run?.endInput(),
    interrupt: () => this.stop(),
  });
  readonly #state = el("span", { className: "state", role: "status" }, "Ready");
  readonly #time = el("span", { className: "time", ariaHidden: "true" });
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
    this.#save();
    this.#run?.cancel();
    this.#allowance.stop();
  }

  attributeChangedCallback(name: string, _: string | null, value: string | null): void {
    if (name === "readonly" && this.#editor) this.#editor.readOnly = value !== null;
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
    this.#showHint([]);
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

  get running(): boolean {
    return this.#run !== null;
  }

  /** What came of the last run; null before the first, while one is under way, and where the service gave none. */
  get result(): Result | null {
    return this.#result;
  }

  /** Run the program; resolves with its result, or with null where there is none. */
  async run(): Promise<Result | null> {
    if (!this.#editor || this.#run) return null;
    if (this.#allowance.exhausted) {
      this.#say("bad", "No runs left for now");
      return null;
    }
    this.clear();
    this.#save();
    this.#wrote = "";
    this.#stopping = false;
    this.#edited = false;
    this.#began = 0;
    this.#setRunning(true);
    this.#say("busy", "Starting");
    const result = new Promise<Result | null>((resolve) => (this.#done = resolve));
    const addresses = this.#addresses();
    this.#emit("run-start", { code: this.code });
    this.#run = start(addresses, this.#request(), this.#transport(), (event) => this.#on(event));
    this.#showRunnable();
    return result;
  }

  /** Interrupt the program, as Ctrl-C does; end it if it does not follow, or at a second call. */
  stop(): void {
    if (!this.#run) return;
    if (this.#stopping || !this.#began) {
      this.#stopping = true;
      this.#run.cancel();
      return;
    }
    this.#stopping = true;
    this.#say("busy", "Stopping");
    this.#run.interrupt();
    this.#killing = window.setTimeout(() => this.#run?.cancel(), KILL_AFTER);
  }

  /** Bring the starter code back, as an edit that can be undone. */
  reset(): void {
    if (!this.#editor) return;
    this.code = this.starter;
    this.#save();
    if (!this.#run) {
      this.clear();
      this.#say("", "Starter code restored");
    }
    this.#editor.view.focus();
  }

  /** Empty the console and take the marks off the code. */
  clear(): void {
    this.#result = null;
    this.#console.clear();
    this.#showHint([]);
    this.#editor?.markLine(null);
    this.#editor?.showProblems([]);
  }

  override focus(): void {
    this.#editor?.view.focus();
  }

  #build(): void {
    if (this.#editor || !this.isConnected) return;
    this.#starter ??= readStarter(this);
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [styleSheet()];
    root.append(this.#frame);
    this.#frame.append(
      el("div", { className: "bar", part: "toolbar" }, el("span", { className: "name" }, "main.py"), this.#resetButton, this.#stopButton, this.#runButton),
      this.#editorBox,
      this.#hint,
      this.#stdinBox,
      this.#console.element,
      el("div", { className: "foot", part: "status" }, this.#state, this.#time, this.#left),
    );
    this.#editor = new Editor({
      parent: this.#editorBox,
      root,
      changed: () => this.#changed(),
      run: () => void this.run(),
      check: (code) => this.#check(code),
    });
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
    this.#say("", "Ready");
    this.#resetButton.disabled = this.code === this.starter;
  }

  #changed(): void {
    this.#edited = true;
    this.#resetButton.disabled = this.code === this.starter;
    clearTimeout(this.#saving);
    this.#saving = window.setTimeout(() => this.#save(), SAVE_AFTER);
    this.#emit("code-change", { code: this.code });
  }

  #save(): void {
    clearTimeout(this.#saving);
    if (this.#editor) this.#draft?.save(this.code === this.starter ? null : this.code);
  }

  #addresses(): Addresses {
    return new Addresses(this.getAttribute("endpoint") || defaultEndpoint(), document.baseURI);
  }

  #transport(): Transport {
    const value = this.getAttribute("transport");
    return value === "sse" || value === "websocket" ? value : "auto";
  }

  #request(): RunRequest {
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
    switch (event.type) {
      case "rate":
        this.#allowance.update(event.rate);
        break;
      case "started":
        this.#began = performance.now();
        this.#clock = window.setInterval(() => this.#showTime(), 100);
        this.#say("busy", "Running");
        break;
      case "stdout":
      case "stderr":
        if (event.type === "stderr") this.#wrote += event.data;
        this.#console.write(event.type, event.data);
        this.#emit("run-output", { stream: event.type, data: event.data });
        break;
      case "waiting":
        this.#say("busy", "Waiting for input");
        // who has gone on typing in the editor is not to be torn out of it
        this.#console.openPrompt(this.matches(":focus-within") && !this.#edited);
        this.#emit("run-waiting", {});
        break;
      case "display":
        this.#console.display(event);
        this.#emit("run-display", event);
        break;
      case "file":
        this.#console.file(event);
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
    this.#result = result;
    const said = sentence(result, this.#wrote);
    if (said) this.#console.note(said, "refusal");
    else if (this.#console.empty) this.#console.note("The program wrote nothing.");
    if (result.filesOmitted) this.#console.note(`${result.filesOmitted} more files were too many, or too large.`);
    this.#editor?.showProblems(result.problems);
    const line = result.line ?? result.problems[0]?.line ?? null;
    this.#editor?.markLine(result.status === "success" ? null : line);
    if (!interactive && /^EOFError/m.test(result.error)) {
      this.#stdinBox.hidden = false;
      this.#console.note("The program asked for input. Write it into the box “Input” above, then run it again.");
    }
    this.#setRunning(false);
    this.#say(result.status === "success" ? "good" : "bad", outcome(result), result.status === "success" ? null : line);
    this.#time.textContent = usage(result);
    this.#emit("run-result", result);
    this.#settle(result);
  }

  #fail(failure: Failure): void {
    const stopped = this.#stopping && failure.status === 0;
    if (failure.status === 429) this.#allowance.refuse(failure.retryAfter ?? 1);
    if (!stopped) this.#console.note(failure.detail, "refusal");
    this.#setRunning(false);
    this.#say("bad", stopped ? "Stopped" : failure.status === 429 ? "Too many runs" : failure.title);
    this.#time.textContent = "";
    this.#emit("run-problem", failure);
    this.#settle(null);
  }

  #settle(result: Result | null): void {
    this.#done?.(result);
    this.#done = null;
  }

  #setRunning(on: boolean): void {
    clearInterval(this.#clock);
    clearTimeout(this.#killing);
    this.toggleAttribute("running", on);
    if (!on) {
      this.#run = null;
      this.#console.closePrompt();
      if (this.#stopButton.matches(":focus")) this.#runButton.focus();
    }
    this.#time.textContent = "";
    this.#stopButton.hidden = !on;
    this.#showRunnable();
  }

  #say(kind: "" | "busy" | "good" | "bad", text: string, line: number | null = null): void {
    this.#state.className = `state ${kind}`;
    this.#state.replaceChildren(text);
    if (line === null) return;
    const go = el("button", { type: "button", className: "link", onclick: () => this.#editor?.goTo(line) }, `line ${line}`);
    this.#state.append(" on ", go);
  }

  #showTime(): void {
    const seconds = (performance.now() - this.#began) / 1000;
    this.#time.textContent = seconds < 0.3 ? "" : duration(1000 * seconds);
  }

  #showAllowance(): void {
    this.#left.textContent = this.#allowance.text;
    this.#left.classList.toggle("none", this.#allowance.exhausted);
    this.#showRunnable();
  }

  /** A button that cannot be used now keeps its place in the tab order. */
  #showRunnable(): void {
    this.#runButton.ariaDisabled = String(this.#run !== null || this.#allowance.exhausted);
  }

  async #check(code: string): Promise<Problem[]> {
    if (this.getAttribute("check") === "off") return [];
    const problems = await this.#checker.check(this.#addresses(), code);
    if (this.code === code) this.#showHint(problems);
    return problems;
  }

  #showHint(problems: readonly Problem[]): void {
    const [first, ...more] = problems;
    this.#hint.hidden = !first;
    this.#hint.textContent = first
      ? `Line ${first.line}: ${first.message}${more.length > 0 ? ` (and ${more.length} more)` : ""}`
      : "";
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
