/**
 * Who the learner is, and what proves it to the Code Executor:
 *
 *     CODE_EXECUTOR_KEY_ID         the 8 characters after "ce_" of a key with the scopes run, check and labs
 *     CODE_EXECUTOR_TOKEN_SECRET   the secret for learner tokens that `code-executor keys add` shows beside the key
 *
 * Both stay on this server. Without them the executor must be open, and is told the learner's name alone.
 */

import { createHmac, randomUUID } from "node:crypto";

const KEY_ID = process.env.CODE_EXECUTOR_KEY_ID;
const SECRET = process.env.CODE_EXECUTOR_TOKEN_SECRET;

const COOKIE = "learner";
const SCOPE = "run check labs";
const SECONDS = 15 * 60;

/** A learner, and the header that makes the browser remember it, where it is new. */
export interface Learner {
  name: string;
  cookie?: string;
}

/** In your site this is whoever is signed in, under a number or another pseudonym. Here each browser is a learner. */
export function learnerOf(request: Request): Learner {
  const known = /(?:^|;\s*)learner=([0-9a-f-]{36})(?:;|$)/.exec(request.headers.get("cookie") ?? "");
  if (known?.[1]) return { name: known[1] };
  const name = randomUUID();
  return { name, cookie: `${COOKIE}=${name}; Path=/; HttpOnly; SameSite=Lax; Max-Age=31536000` };
}

/** The headers that say to the executor who asks. */
export function credentials({ name }: Learner): Record<string, string> {
  if (!KEY_ID || !SECRET) return { "x-learner": name };
  const exp = Math.floor(Date.now() / 1000) + SECONDS;
  const signed = [
    { alg: "HS256", typ: "JWT", kid: KEY_ID },
    { aud: "code-executor", sub: name, exp, scope: SCOPE },
  ]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  const signature = createHmac("sha256", SECRET).update(signed).digest("base64url");
  return { authorization: `Bearer ${signed}.${signature}` };
}

export const hasSecret = Boolean(KEY_ID && SECRET);
