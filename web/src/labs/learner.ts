/** Who learns in this browser: whoever a token names, or a number that the browser keeps. */

const KEY = "labs:learner";

/** A random name for a service that needs no key; the browser keeps it, and nobody knows more of its bearer. */
export function anonymousLearner(storage: Pick<Storage, "getItem" | "setItem"> | null = kept()): string {
  const fresh = (): string => `anon-${Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  try {
    const known = storage?.getItem(KEY);
    if (known && /^anon-[0-9a-f]{24}$/.test(known)) return known;
    const made = fresh();
    storage?.setItem(KEY, made);
    return made;
  } catch {
    return fresh(); // for this page alone
  }
}

/** Whom a token names, as the browser tells drafts apart: two tokens of one learner are one. */
export function nameOfToken(token: string): string {
  try {
    const claims = JSON.parse(atob((token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/"))) as { sub?: unknown };
    if (typeof claims.sub === "string") return `sub-${claims.sub}`;
  } catch {
    // a key, or nothing of ours
  }
  return "key";
}

function kept(): Storage | null {
  try {
    return localStorage;
  } catch {
    return null;
  }
}
