/**
 * `<run-notebook>`: cells of Python that share one interpreter, which lives on between them.
 *
 * It opens a session when the first cell is run and ends it when the page is left. Cells run one after another; those
 * that are started meanwhile wait for their turn. The code of the cells is kept in local storage, their output is not.
 */

import { Allowance } from "./allowance.js";
import { Cell } from "./cell.js";
import { el } from "./dom.js";
import { Session } from "./session.js";
import notebookStyles from "./notebook.css";
import styles from "./styles.css";
import { Addresses, type Failure, type RunEvent } from "./wire.js";

const SAVE_AFTER = 300; // ms without a key
const KEY = "run-notebook:cells";
const GONE = "The session has ended, and the values of its variables with it. The code is still here.";

export class RunNotebookElement extends HTMLElement {
  #cells: Cell[] = [];
  #queue: Cell[] = [];
  #running: Cell | null = null;
  #session: Session | null = null;
  #opening: Promise<Session | Failure> | null = null;
  #count = 0; // cells that this session has run
  #saving = 0;
  #looking = 0;
  readonly #leaving = (): void => {
    this.#save();
    void this.#session?.end();
    if (this.#session) this.#lose(); // for a page that comes back out of the browser's cache
  };
  readonly #root = this.attachShadow({ mode: "open" });
  readonly #allowance = new Allowance(() => this.#showAllowance());
  readonly #interruptButton = this.#button("Interrupt", "Stop the running cell, as Ctrl-C does", () => this.interrupt());
  readonly #restartButton = this.#button("Restart", "Begin a new session, without any variables", () => void this.restart());
  readonly #state = el("span", { className: "state", role: "status" }, "No session yet");
  readonly #left = el("span", { className: "allowance" });
  readonly #overText = el("p", {});
  readonly #overButton = el("button", { type: "button", className: "stop", onclick: () => void this.restart() }, "Start a new session");
  readonly #over = el("div", { className: "over", role: "alert", hidden: true }, this.#overText, this.#overButton);
  readonly #list = el("div", { className: "cells" });

  connectedCallback(): void {
    addEventListener("pagehide", this.#leaving);
    if (this.#cells.length > 0) return;
    this.#root.adoptedStyleSheets = [styles, notebookStyles].map((text) => {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(text);
      return sheet;
    });
    this.#root.append(
      el(
        "div",
        { className: "bar", role: "toolbar", ariaLabel: "Notebook" },
        el("button", { type: "button", className: "run", onclick: () => this.runAll() }, "Run all"),
        this.#interruptButton,
        this.#restartButton,
        this.#button("Add cell", "Add a cell at the end", () => this.#add("", this.#cells.length).focus()),
        this.#state,
        this.#left,
      ),
      this.#over,
      this.#list,
    );
    for (const code of load() ?? [""]) this.#add(code, this.#cells.length);
    this.#showRunning();
  }

  disconnectedCallback(): void {
    removeEventListener("pagehide", this.#leaving);
    this.#leaving();
    this.#allowance.stop();
  }

  /** The code of the cells. */
  get cells(): string[] {
    return this.#cells.map((cell) => cell.code);
  }

  set cells(codes: string[]) {
    for (const cell of [...this.#cells]) this.#drop(cell);
    for (const code of codes.length > 0 ? codes : [""]) this.#add(code, this.#cells.length);
    this.#changed();
  }

  get running(): boolean {
    return this.#running !== null || this.#queue.length > 0;
  }

  runAll(): void {
    for (const cell of this.#cells) this.#run(cell);
  }

  /** Interrupt the running cell; those that wait for their turn do not get it. */
  interrupt(): void {
    this.#giveUpQueue();
    if (this.#running) this.#session?.interrupt();
  }

  /** End the session, if there is one, and open another. */
  async restart(): Promise<void> {
    this.#giveUpQueue();
    const old = this.#session;
    this.#lose();
    this.#say("busy", "Starting a session");
    await old?.end();
    await this.#open();
  }

  #button(text: string, title: string, onclick: () => void): HTMLButtonElement {
    return el("button", { type: "button", className: "quiet", title, onclick }, text);
  }

  // ---- cells

  #add(code: string, at: number): Cell {
    const cell = new Cell(
      {
        root: this.#root,
        addresses: () => this.#addresses(),
        changed: () => this.#changed(),
        run: (which) => this.#run(which),
        runAndGoOn: (which) => this.#runAndGoOn(which),
        move: (which, by) => this.#move(which, by),
        remove: (which) => this.#remove(which),
        input: (text) => this.#session?.input(text),
        interrupt: () => this.interrupt(),
      },
      code,
    );
    this.#cells.splice(at, 0, cell);
    this.#list.insertBefore(cell.element, this.#list.children[at] ?? null);
    this.#place();
    return cell;
  }

  #place(): void {
    this.#cells.forEach((cell, index) => (cell.place = index + 1));
  }

  #move(cell: Cell, by: number): void {
    const from = this.#cells.indexOf(cell);
    const to = from + by;
    if (to < 0 || to >= this.#cells.length) return;
    const focused = this.#root.activeElement;
    this.#cells.splice(to, 0, ...this.#cells.splice(from, 1));
    this.#list.insertBefore(cell.element, this.#list.children[by > 0 ? to + 1 : to] ?? null);
    if (focused instanceof HTMLElement) focused.focus(); // which a moved element loses
    this.#place();
    this.#changed();
    this.#say("", `Moved to place ${to + 1}`);
  }

  #remove(cell: Cell): void {
    if (cell === this.#running) return;
    const at = this.#cells.indexOf(cell);
    this.#drop(cell);
    const next = this.#cells[at] ?? this.#cells[at - 1] ?? this.#add("", 0);
    next.focus();
    this.#changed();
  }

  #drop(cell: Cell): void {
    this.#cells = this.#cells.filter((each) => each !== cell);
    this.#queue = this.#queue.filter((each) => each !== cell);
    cell.element.remove();
    cell.editor.view.destroy();
    this.#place();
  }

  #changed(): void {
    clearTimeout(this.#saving);
    this.#saving = window.setTimeout(() => this.#save(), SAVE_AFTER);
  }

  #save(): void {
    clearTimeout(this.#saving);
    try {
      localStorage.setItem(KEY, JSON.stringify(this.cells));
    } catch {
      // full, or not allowed: the code is still in the editors
    }
  }

  // ---- running

  #runAndGoOn(cell: Cell): void {
    this.#run(cell);
    const next = this.#cells.indexOf(cell) + 1;
    (this.#cells[next] ?? this.#add("", next)).focus();
  }

  #run(cell: Cell): void {
    if (cell === this.#running || this.#queue.includes(cell)) return;
    if (this.#allowance.exhausted) {
      this.#say("bad", "No runs left for now");
      return;
    }
    cell.wait();
    this.#queue.push(cell);
    void this.#work();
  }

  async #work(): Promise<void> {
    if (this.#running || !this.#queue[0]) return;
    const cell = this.#queue.shift() as Cell;
    this.#running = cell;
    this.#showRunning();
    const session = this.#session ?? (await this.#open());
    if (session) await this.#runIn(session, cell);
    else cell.wait(true);
    this.#running = null;
    this.#showRunning();
    void this.#work();
  }

  async #runIn(session: Session, cell: Cell): Promise<void> {
    cell.begin();
    clearTimeout(this.#looking);
    this.#say("busy", "Running");
    let failed = false;
    let number = 0;
    await session.run(cell.code, (event: RunEvent) => {
      if (event.type === "rate") this.#allowance.update(event.rate);
      if (event.type === "started") number = ++this.#count;
      if (event.type === "problem" && event.status === 429) this.#allowance.refuse(event.retryAfter ?? 1);
      if (event.type === "problem" || (event.type === "result" && event.status !== "success")) failed = true;
      cell.take(event, number);
    });
    if (session !== this.#session) cell.forget(); // another was begun meanwhile
    if (failed) {
      this.#giveUpQueue(); // what follows was written for a world in which this one worked
      await this.#look(session);
    }
    if (session !== this.#session) return;
    this.#say(failed ? "bad" : "good", failed ? "A cell failed" : "Ready");
    this.#looking = window.setTimeout(() => void this.#look(session), 1000 * (session.idleTimeout + 1));
  }

  #giveUpQueue(): void {
    for (const cell of this.#queue.splice(0)) cell.wait(true);
    this.#showRunning();
  }

  // ---- the session

  #open(): Promise<Session | null> {
    this.#say("busy", "Starting a session");
    this.#opening ??= Session.open(this.#addresses().sessions);
    return this.#opening.then((opened) => {
      this.#opening = null;
      if (opened instanceof Session) {
        this.#session = opened;
        this.#over.hidden = true;
        this.#say("good", "Ready");
        return opened;
      }
      this.#giveUpQueue();
      this.#say("bad", "No session");
      this.#showOver(opened.status === 404 ? "This server has no sessions, so notebooks do not run here. Single programs do." : opened.detail);
      this.#overButton.hidden = opened.status === 404;
      return null;
    });
  }

  /** See whether the session is still there, and say so if it is not. */
  async #look(session: Session): Promise<void> {
    if ((await session.lives()) || session !== this.#session) return;
    this.#lose();
    this.#say("bad", "The session has ended");
    this.#overButton.hidden = false;
    this.#showOver(GONE);
  }

  #lose(): void {
    clearTimeout(this.#looking);
    this.#session = null;
    this.#count = 0;
    for (const cell of this.#cells) cell.forget();
  }

  #showOver(text: string): void {
    this.#overText.textContent = text;
    this.#over.hidden = false;
  }

  #addresses(): Addresses {
    return new Addresses(this.getAttribute("endpoint") || "api/execute", document.baseURI);
  }

  #say(kind: "" | "busy" | "good" | "bad", text: string): void {
    this.#state.className = `state ${kind}`;
    this.#state.textContent = text;
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

function load(): string[] | null {
  try {
    const cells: unknown = JSON.parse(localStorage.getItem(KEY) ?? "null");
    return Array.isArray(cells) && cells.length > 0 && cells.every((cell) => typeof cell === "string") ? cells : null;
  } catch {
    return null;
  }
}

if (!customElements.get("run-notebook")) customElements.define("run-notebook", RunNotebookElement);

declare global {
  interface HTMLElementTagNameMap {
    "run-notebook": RunNotebookElement;
  }
}
