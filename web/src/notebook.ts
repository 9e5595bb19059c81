/**
 * `<run-notebook>`: cells of Python that share one interpreter, which lives on between them.
 *
 * It opens a session when the first cell is run, or a file is added, and ends it when the page is left. Cells run one after another; those
 * that are started meanwhile wait for their turn. The code of the cells is kept in local storage, their output is not.
 */

import { Addresses } from "./addresses.js";
import { Allowance } from "./allowance.js";
import type { Cell } from "./cell.js";
import { CellList } from "./cell-list.js";
import { el, styleSheet } from "./dom.js";
import type { Failure } from "./failure.js";
import notebookStyles from "./notebook.css";
import type { RunEvent } from "./run.js";
import { Saver } from "./saver.js";
import { SessionClient } from "./session-client.js";
import { SessionFiles } from "./session-files.js";
import { Status } from "./status.js";
import styles from "./styles.css";

const GONE = "The session has ended, and the values of its variables with it. The code is still here.";

export class RunNotebookElement extends HTMLElement {
  #queue: Cell[] = [];
  #running: Cell | null = null;
  #session: SessionClient | null = null;
  #opening: Promise<SessionClient | Failure> | null = null;
  #count = 0; // cells that this session has run
  #looking = 0;
  readonly #leaving = (): void => {
    this.#saver.now();
    void this.#session?.end();
    if (this.#session) this.#lose(); // for a page that comes back out of the browser's cache
  };
  readonly #root = this.attachShadow({ mode: "open" });
  readonly #allowance = new Allowance(() => this.#showAllowance());
  readonly #interruptButton = this.#button("Interrupt", "Stop the running cell, as Ctrl-C does", () => this.interrupt());
  readonly #restartButton = this.#button("Restart", "Begin anew: no variables, and of the files those that you added", () => void this.restart());
  readonly #status = new Status({ text: "No session yet", live: true });
  readonly #left = el("span", { className: "allowance" });
  readonly #overText = el("p", {});
  readonly #overButton = el("button", { type: "button", className: "stop", onclick: () => void this.restart() }, "Start a new session");
  readonly #over = el("div", { className: "over", role: "alert", hidden: true }, this.#overText, this.#overButton);
  readonly #list = new CellList({
    root: this.#root,
    addresses: () => this.#addresses(),
    changed: () => this.#saver.later(),
    run: (cell) => this.#run(cell),
    runAndGoOn: (cell) => this.#runAndGoOn(cell),
    move: (cell, by) => this.#move(cell, by),
    remove: (cell) => this.#remove(cell),
    input: (text) => this.#session?.input(text),
    interrupt: () => this.interrupt(),
  });
  readonly #nobodyTypes = el("input", { type: "checkbox" });
  readonly #files = new SessionFiles({
    session: async () => this.#session ?? (await this.#open()),
    say: (text) => this.#status.say("bad", text),
  });
  readonly #saver = new Saver(() => this.#list.save());

  connectedCallback(): void {
    addEventListener("pagehide", this.#leaving);
    if (this.#list.all.length > 0) return;
    this.#root.adoptedStyleSheets = [styles, notebookStyles].map(styleSheet);
    this.#root.append(
      el(
        "div",
        { className: "bar", role: "toolbar", ariaLabel: "Notebook" },
        el("button", { type: "button", className: "run", onclick: () => this.runAll() }, "Run all"),
        this.#interruptButton,
        this.#restartButton,
        this.#button("Add cell", "Add a cell at the end", () => this.#list.add().focus()),
        el("label", { title: "input() finds no more input, instead of waiting for you" }, this.#nobodyTypes, " Nobody types"),
        this.#status.element,
        this.#left,
      ),
      this.#over,
      this.#files.element,
      this.#list.element,
    );
    this.#list.load();
    this.#showRunning();
  }

  disconnectedCallback(): void {
    removeEventListener("pagehide", this.#leaving);
    this.#leaving();
    this.#allowance.stop();
  }

  /** The code of the cells. */
  get cells(): string[] {
    return this.#list.codes;
  }

  set cells(codes: string[]) {
    this.#queue = [];
    this.#list.replace(codes);
    this.#saver.later();
  }

  get running(): boolean {
    return this.#running !== null || this.#queue.length > 0;
  }

  runAll(): void {
    for (const cell of this.#list.all) this.#run(cell);
  }

  /** Interrupt the running cell; those that wait for their turn do not get it. */
  interrupt(): void {
    this.#giveUpQueue();
    if (this.#running) this.#session?.interrupt();
  }

  /** Give the session a new interpreter, and the files that were added; where there is none, open one. */
  async restart(): Promise<void> {
    this.#giveUpQueue();
    const session = this.#session;
    this.#lose();
    this.#status.say("busy", "Starting a session");
    const failure = session && (await session.restart());
    if (session && !failure) this.#begin(session);
    else if (!session || failure?.status === 404) await this.#open();
    else {
      this.#status.say("bad", failure?.title ?? "");
      this.#showOver(failure?.detail ?? "");
      this.#overButton.hidden = false;
    }
    if (this.#session) await this.#files.putAgain(this.#session);
  }

  #button(text: string, title: string, onclick: () => void): HTMLButtonElement {
    return el("button", { type: "button", className: "quiet", title, onclick }, text);
  }

  // ---- cells

  #move(cell: Cell, by: number): void {
    const place = this.#list.move(cell, by);
    if (place === null) return;
    this.#saver.later();
    this.#status.say("", `Moved to place ${place}`);
  }

  #remove(cell: Cell): void {
    if (cell === this.#running) return;
    this.#queue = this.#queue.filter((each) => each !== cell);
    this.#list.remove(cell).focus();
    this.#saver.later();
  }

  // ---- running

  #runAndGoOn(cell: Cell): void {
    this.#run(cell);
    this.#list.below(cell).focus();
  }

  #run(cell: Cell): void {
    if (cell === this.#running || this.#queue.includes(cell)) return;
    if (this.#allowance.exhausted) {
      this.#status.say("bad", "No runs left for now");
      return;
    }
    cell.enqueue();
    this.#queue.push(cell);
    void this.#work();
  }

  async #work(): Promise<void> {
    if (this.#running || !this.#queue[0]) return;
    const cell = this.#queue.shift() as Cell;
    this.#running = cell;
    this.#showRunning();
    const session = this.#session ?? (await this.#open());
    await this.#files.settled;
    if (session) await this.#runIn(session, cell);
    else cell.dequeue();
    this.#running = null;
    this.#showRunning();
    void this.#work();
  }

  async #runIn(session: SessionClient, cell: Cell): Promise<void> {
    cell.begin();
    clearTimeout(this.#looking);
    this.#status.say("busy", "Running");
    let failed = false;
    let number = 0;
    await session.run(cell.code, (event: RunEvent) => {
      if (event.type === "rate") this.#allowance.update(event.rate);
      if (event.type === "started") number = ++this.#count;
      if (event.type === "problem" && event.status === 429) this.#allowance.refuse(event.retryAfter ?? 1);
      if (event.type === "problem" || (event.type === "result" && event.status !== "success")) failed = true;
      cell.take(event, number);
    }, { interactive: !this.#nobodyTypes.checked });
    if (session !== this.#session) cell.forget(); // another was begun meanwhile
    if (failed) {
      this.#giveUpQueue(); // what follows was written for a world in which this one worked
      await this.#look(session);
    }
    if (session !== this.#session) return;
    await this.#files.refresh(session); // before the next cell, while which there are none to be had
    this.#status.say(failed ? "bad" : "good", failed ? "A cell failed" : "Ready");
    this.#looking = window.setTimeout(() => void this.#look(session), 1000 * (session.idleTimeout + 1));
  }

  #giveUpQueue(): void {
    for (const cell of this.#queue.splice(0)) cell.dequeue();
    this.#showRunning();
  }

  // ---- the session

  #open(): Promise<SessionClient | null> {
    this.#status.say("busy", "Starting a session");
    this.#opening ??= SessionClient.open(() => this.#addresses());
    return this.#opening.then((opened) => {
      this.#opening = null;
      if (opened instanceof SessionClient) {
        this.#begin(opened);
        return opened;
      }
      this.#giveUpQueue();
      this.#status.say("bad", "No session");
      this.#showOver(opened.status === 404 ? "This server has no sessions, so notebooks do not run here. Single programs do." : opened.detail);
      this.#overButton.hidden = opened.status === 404;
      return null;
    });
  }

  #begin(session: SessionClient): void {
    this.#session = session;
    this.#over.hidden = true;
    this.#status.say("good", "Ready");
  }

  /** See whether the session is still there, and say so if it is not. */
  async #look(session: SessionClient): Promise<void> {
    if ((await session.lives()) || session !== this.#session) return;
    this.#lose();
    this.#status.say("bad", "The session has ended");
    this.#overButton.hidden = false;
    this.#showOver(GONE);
  }

  #lose(): void {
    clearTimeout(this.#looking);
    this.#session = null;
    this.#count = 0;
    this.#files.clear();
    for (const cell of this.#list.all) cell.forget();
  }

  #showOver(text: string): void {
    this.#overText.textContent = text;
    this.#over.hidden = false;
  }

  #addresses(): Addresses {
    const token = this.getAttribute("token")?.trim() ?? "";
    return new Addresses(this.getAttribute("endpoint") || "api/execute", document.baseURI, token);
  }

  #showAllowance(): void {
    this.#left.textContent = this.#allowance.text;
    this.#left.classList.toggle("none", this.#allowance.exhausted);
  }

  #showRunning(): void {
    this.toggleAttribute("running", this.running);
    this.#interruptButton.ariaDisabled = String(!this.running);
  }
}

if (!customElements.get("run-notebook")) customElements.define("run-notebook", RunNotebookElement);

declare global {
  interface HTMLElementTagNameMap {
    "run-notebook": RunNotebookElement;
  }
}
