/**
 * A learner's versions of one program, in this browser's local storage.
 *
 * Each window has a place of its own, so that two windows do not write over each other. What a window gives up for
 * another version is kept beside, until the learner throws it away.
 */

/** What one window has. */
export interface LocalDraft {
  code: string;
  /** Of the draft of the service that it follows on; null: of none. */
  revision: number | null;
  /** Whether the service has not got it yet. */
  dirty: boolean;
  /** When it was typed, in ISO 8601. */
  at: string;
}

/** A version that was given up for another. */
export interface KeptVersion {
  code: string;
  at: string;
}

export type Store = Pick<Storage, "getItem" | "setItem" | "removeItem" | "key" | "length">;

const DRAFT = "labs:draft:";
const KEPT = "labs:kept:";
const MOST_KEPT = 10;

export class Shelf {
  readonly #store: Store | null;
  readonly #place: string;
  readonly #kept: string;
  readonly #own: string;
  #keeps = true;

  constructor(store: Store | null, who: string, course: string, lab: string, window = randomName()) {
    this.#store = store;
    this.#place = `${DRAFT}${[who, course, lab].map(encodeURIComponent).join(":")}:`;
    this.#kept = `${KEPT}${[who, course, lab].map(encodeURIComponent).join(":")}`;
    this.#own = this.#place + window;
  }

  /** Whether the browser has kept what it was given last. */
  get keeps(): boolean {
    return this.#keeps && this.#store !== null;
  }

  /** Keep what this window has. */
  write(draft: LocalDraft): void {
    this.#put(this.#own, draft);
  }

  /** What other windows have, or had when they were closed: the newest first. */
  others(): LocalDraft[] {
    const found = keysOf(this.#store, this.#place).filter((key) => key !== this.#own);
    const drafts = found.map((key) => read<LocalDraft>(this.#store, key)).filter((draft) => draft !== null);
    return drafts.filter(({ code }) => typeof code === "string").sort((one, other) => other.at.localeCompare(one.at));
  }

  /** Forget the places of other windows. One that is open takes its place again with the next key. */
  clearOthers(): void {
    for (const key of keysOf(this.#store, this.#place)) if (key !== this.#own) this.#store?.removeItem(key);
  }

  /** The versions that were given up, the newest first. */
  get kept(): KeptVersion[] {
    return read<KeptVersion[]>(this.#store, this.#kept) ?? [];
  }

  keep(version: KeptVersion): void {
    const others = this.kept.filter(({ code }) => code !== version.code);
    this.#put(this.#kept, [version, ...others].slice(0, MOST_KEPT));
  }

  /** Throw a version away. */
  drop(code: string): void {
    this.#put(this.#kept, this.kept.filter((version) => version.code !== code));
  }

  #put(key: string, value: unknown): void {
    try {
      this.#store?.setItem(key, JSON.stringify(value));
      this.#keeps = true;
    } catch {
      this.#keeps = false; // full, or not allowed: the code is still in the editor
    }
  }
}

/** Forget what others who used this browser have at the service anyway. What it has not is still theirs to save. */
export function forgetOthers(store: Store | null, who: string): void {
  const own = `${DRAFT}${encodeURIComponent(who)}:`;
  for (const key of keysOf(store, DRAFT)) {
    if (!key.startsWith(own) && read<LocalDraft>(store, key)?.dirty !== true) store?.removeItem(key);
  }
}

/** Forget all that this browser has of a learner. */
export function forgetLearner(store: Store | null, who: string): void {
  for (const prefix of [DRAFT, KEPT]) {
    for (const key of keysOf(store, `${prefix}${encodeURIComponent(who)}:`)) store?.removeItem(key);
  }
}

/** The browser's local storage; null where it has none. */
export function browserStore(): Store | null {
  try {
    return localStorage;
  } catch {
    return null;
  }
}

function keysOf(store: Store | null, prefix: string): string[] {
  const keys: string[] = [];
  for (let at = 0; at < (store?.length ?? 0); at++) {
    const key = store?.key(at);
    if (key?.startsWith(prefix)) keys.push(key);
  }
  return keys;
}

function read<T>(store: Store | null, key: string): T | null {
  try {
    return JSON.parse(store?.getItem(key) ?? "null") as T | null;
  } catch {
    return null;
  }
}

function randomName(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(6)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
