/**
 * Keeps a learner's program: in this browser with each key, at the service every ten seconds.
 *
 * The service takes a draft only if it follows on the one that it has. Otherwise another window was faster: then both
 * versions are there, the learner chooses, and the other one is kept too.
 */

import type { KeptDraft } from "../labs-wire.js";
import type { Put } from "./client.js";
import type { LocalDraft, Shelf } from "./shelf.js";

export const SAVE_EVERY = 10_000; // ms

export type DraftState =
  | { kind: "clean" }
  | { kind: "pending" }
  | { kind: "saved"; at: string }
  /** Another window's version is shown: it is newer. */
  | { kind: "followed"; at: string }
  /** It is not at the service. `status`: the HTTP status, 0 without a connection. */
  | { kind: "unsaved"; status: number; detail: string }
  | { kind: "conflict"; other: KeptDraft };

export interface DraftsOptions {
  shelf: Shelf;
  starter: string;
  /** Save at the service; rejects with an error that has a `status`. */
  put(code: string, revision: number | null, leaving: boolean): Promise<Put>;
  /** Show how it stands. */
  show(state: DraftState): void;
  /** Show another program. */
  replace(code: string): void;
  now?: () => Date;
}

export class Drafts {
  readonly #options: DraftsOptions;
  #own: LocalDraft;
  #other: KeptDraft | null = null;
  readonly #sent = new Set<string>(); // what may be at the service without this window's knowing
  #saving = false;
  #timer: number | null = null;

  constructor(options: DraftsOptions) {
    this.#options = options;
    this.#own = { code: options.starter, revision: null, dirty: false, at: this.#now() };
  }

  /** Whether there is something that the service has not got. */
  get dirty(): boolean {
    return this.#own.dirty;
  }

  /** The program to begin with, as the service and this browser have it. */
  open(server: KeptDraft | null): string {
    const { shelf, starter } = this.#options;
    const [newest, ...older] = shelf.others().filter(({ dirty, code }) => dirty && code !== server?.code);
    const revision = server?.revision ?? null;
    this.#own = newest ?? { code: server?.code ?? starter, revision, dirty: false, at: server?.saved ?? this.#now() };
    shelf.write(this.#own);
    for (const { code, at } of older.reverse()) if (code !== newest?.code && code !== starter) shelf.keep({ code, at });
    shelf.clearOthers();
    if (newest && server && newest.revision !== revision) this.#disagree(server);
    else if (newest) {
      this.#own.revision = revision; // the service may have lost what it followed on
      this.#sent.add(newest.code); // the page that had it may just have saved it
      this.#show({ kind: "pending" });
      this.#later();
    } else this.#show(server ? { kind: "saved", at: server.saved } : { kind: "clean" });
    return this.#own.code;
  }

  /** The learner has typed. */
  changed(code: string): void {
    if (code === this.#own.code) return;
    this.#own = { ...this.#own, code, dirty: true, at: this.#now() };
    this.#options.shelf.write(this.#own);
    if (this.#other) return;
    this.#show({ kind: "pending" });
    this.#later();
  }

  /** Save what the service has not got, now. */
  async save(leaving = false): Promise<void> {
    this.#cancel();
    if (!this.#own.dirty || this.#other || (this.#saving && !leaving)) return;
    const { code, revision } = this.#own;
    this.#saving = true;
    this.#sent.add(code);
    try {
      const put = await this.#options.put(code, revision, leaving);
      if ("saved" in put) this.#saved(code, put.saved.revision, put.saved.saved);
      else if (this.#sent.has(put.other.code)) this.#saved(put.other.code, put.other.revision, put.other.saved);
      else this.#disagree(put.other);
    } catch (error) {
      this.#failed(error as { status?: number; message?: string });
    } finally {
      this.#saving = false;
    }
  }

  /** The learner keeps what this window has, or takes what the other one had. The one that is left is kept beside. */
  async choose(mine: boolean): Promise<void> {
    const other = this.#other;
    if (!other) return;
    const { shelf } = this.#options;
    this.#other = null;
    if (mine) {
      shelf.keep({ code: other.code, at: other.saved });
      this.#own = { ...this.#own, revision: other.revision, dirty: true };
      shelf.write(this.#own);
      await this.save();
      return;
    }
    shelf.keep({ code: this.#own.code, at: this.#own.at });
    this.#follow(other);
    this.#show({ kind: "saved", at: other.saved });
  }

  /** The window is looked at again: what another one has saved meanwhile is shown, if nothing here is unsaved. */
  refresh(server: KeptDraft | null): void {
    if (!server || this.#own.dirty || this.#other || server.revision === this.#own.revision) return;
    this.#follow(server);
    this.#show({ kind: "followed", at: server.saved });
  }

  stop(): void {
    this.#cancel();
  }

  #follow(server: KeptDraft): void {
    const changed = server.code !== this.#own.code;
    this.#own = { code: server.code, revision: server.revision, dirty: false, at: server.saved };
    this.#options.shelf.write(this.#own);
    if (changed) this.#options.replace(server.code);
  }

  #saved(code: string, revision: number, at: string): void {
    const dirty = this.#own.code !== code;
    this.#own = { ...this.#own, revision, dirty };
    this.#options.shelf.write(this.#own);
    if (dirty) this.#later();
    else this.#show({ kind: "saved", at });
  }

  #disagree(other: KeptDraft): void {
    this.#cancel();
    this.#other = other;
    this.#show({ kind: "conflict", other });
  }

  #failed({ status = 0, message = "" }: { status?: number; message?: string }): void {
    this.#show({ kind: "unsaved", status, detail: message });
    if (status === 0 || status === 429 || status >= 500) this.#later();
  }

  #show(state: DraftState): void {
    this.#options.show(state);
  }

  #later(): void {
    this.#timer ??= window.setTimeout(() => void this.save(), SAVE_EVERY);
  }

  #cancel(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #now(): string {
    return (this.#options.now?.() ?? new Date()).toISOString();
  }
}
