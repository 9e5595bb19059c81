/** The files of a notebook's session: those that were put there, and those that its cells made. */

import { DOWNLOAD, el } from "./dom.js";
import type { Failure } from "./failure.js";
import type { SessionClient } from "./session-client.js";
import type { FileEntry } from "./wire.js";
import { bytes } from "./words.js";

interface Host {
  /** The session there is; where there is none, one that is opened for this. */
  session(): Promise<SessionClient | null>;
  say(text: string): void;
}

export class SessionFiles {
  readonly element: HTMLDetailsElement;
  readonly #host: Host;
  readonly #count = el("span", {});
  readonly #list = el("ul", { className: "files", ariaLabel: "Files of the session" });
  readonly #input = el("input", { type: "file", multiple: true, onchange: () => this.#after(this.#addChosen()) });
  readonly #put = new Map<string, Blob>(); // what a session that is restarted is given again
  #changes: Promise<unknown> = Promise.resolve();

  constructor(host: Host) {
    this.#host = host;
    this.element = el(
      "details",
      { className: "shelf" },
      el("summary", {}, "Files", this.#count),
      el("label", { className: "add" }, "Add files ", this.#input),
      this.#list,
    );
    this.#show([], 0);
  }

  /** Fulfilled once everything is done that a person has asked for so far. */
  get settled(): Promise<unknown> {
    return this.#changes;
  }

  /** Ask the session what it has now. */
  async refresh(session: SessionClient): Promise<void> {
    const found = await session.files();
    if ("files" in found) this.#show(found.files, found.filesOmitted);
  }

  /** The session is no more, and neither are its files. */
  clear(): void {
    this.#show([], 0);
  }

  /** Put into a session again what a person had put into the one before. */
  async putAgain(session: SessionClient): Promise<void> {
    const putting = [...this.#put].map(([path, content]) => session.putFile(path, content));
    await this.refresh(session);
    for (const failure of await Promise.all(putting)) this.#tell(failure);
  }

  /** Know of a change from the moment in which it was asked for: there may be no session yet. */
  #after(change: Promise<void>): void {
    this.#changes = Promise.allSettled([this.#changes, change]);
  }

  async #addChosen(): Promise<void> {
    const chosen = [...(this.#input.files ?? [])];
    this.#input.value = "";
    const session = chosen.length > 0 ? await this.#host.session() : null;
    if (!session) return;
    // all at once, in turn: what is run meanwhile finds all of them, and the list is asked for before it runs
    const putting = chosen.map(async (file) => {
      const failure = await session.putFile(file.name, file);
      this.#tell(failure);
      if (!failure) this.#put.set(file.name, file);
    });
    await this.refresh(session);
    await Promise.all(putting);
  }

  async #download(path: string): Promise<void> {
    const session = await this.#host.session();
    const content = await session?.readFile(path);
    if (!content) return;
    if (!(content instanceof Blob)) {
      this.#tell(content);
      return;
    }
    const url = URL.createObjectURL(new Blob([content], { type: DOWNLOAD }));
    el("a", { href: url, download: path.split("/").at(-1) }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000); // the browser may still be reading it
  }

  async #remove(path: string): Promise<void> {
    const session = await this.#host.session();
    if (!session) return;
    const deleting = session.deleteFile(path);
    await this.refresh(session);
    this.#tell(await deleting);
    this.#put.delete(path);
  }

  #show(files: readonly FileEntry[], omitted: number): void {
    this.#count.textContent = files.length > 0 ? ` (${files.length})` : "";
    const rows = files.map(({ path, size }) =>
      el(
        "li",
        {},
        el("button", { type: "button", className: "link", title: `Download ${path}`, onclick: () => void this.#download(path) }, path),
        ` ${bytes(size)} `,
        el("button", { type: "button", title: `Delete ${path}`, onclick: () => this.#after(this.#remove(path)) }, "Delete"),
      ),
    );
    const more = omitted > 0 ? [el("li", {}, `${omitted} more that cannot be shown here`)] : [];
    this.#list.replaceChildren(...rows, ...more);
    this.#list.hidden = rows.length + more.length === 0;
  }

  #tell(failure: Failure | null): void {
    if (failure) this.#host.say(failure.detail);
  }
}
