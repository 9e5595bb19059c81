/** Learner tokens, made in the browser: the secret that they are signed with is sent to nobody. */

/** Bytes of a learner's or a course's name, as the server has it. */
const MOST_NAME = 128;

export interface Claims {
  sub: string;
  course?: string;
  /** Separated by spaces; without it, what tokens are for usually. */
  scope?: string;
  /** Seconds since 1970. */
  exp: number;
}

/** The id of a key: what is asked for, or all of the key, of which no more is taken. Null for what is neither. */
export function keyId(text: string): string | null {
  return /^(?:ce_)?([0-9a-z]{8})(?:_[0-9A-Za-z]+)?$/.exec(text.trim())?.[1] ?? null;
}

export function isSecret(text: string): boolean {
  return /^ces_[\w-]{43}$/.test(text.trim());
}

/** What is wrong with a name; null if nothing is. */
export function nameProblem(name: string): string | null {
  const size = new TextEncoder().encode(name).length;
  if (size > MOST_NAME) return `“${name.slice(0, 20)}…” is too long: ${size} bytes, and ${MOST_NAME} is the most.`;
  return /[\p{C}\p{Z}]/u.test(name.replaceAll(" ", "")) ? `“${name.slice(0, 20)}” has a character that cannot be printed.` : null;
}

/** Sign claims as the server reads them: a JWT with HS256. */
export async function makeToken(id: string, secret: string, claims: Claims): Promise<string> {
  const head = { alg: "HS256", kid: id, typ: "JWT" };
  const text = [head, { aud: "code-executor", ...claims }].map((each) => encoded(bytes(JSON.stringify(each)))).join(".");
  const key = await crypto.subtle.importKey("raw", bytes(secret.trim()), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return `${text}.${encoded(new Uint8Array(await crypto.subtle.sign("HMAC", key, bytes(text))))}`;
}

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text) as Uint8Array<ArrayBuffer>;
}

function encoded(data: Uint8Array): string {
  const text = Array.from(data, (byte) => String.fromCharCode(byte)).join("");
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}
