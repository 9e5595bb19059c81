/**
 * Passes requests on to the Code Executor, which the browser never sees:
 *
 *     CODE_EXECUTOR_URL     where it is (default http://localhost:8000); nothing in a request can change that
 *     CODE_EXECUTOR_TOKEN   sent as "Authorization: Bearer …", for a gateway in front of it; it never leaves the server
 *
 * Bodies are streamed both ways, so that output arrives as it is written, and a browser that goes away stops its run.
 */

const UPSTREAM = process.env.CODE_EXECUTOR_URL ?? "http://localhost:8000";
const TOKEN = process.env.CODE_EXECUTOR_TOKEN;

const ASKED = ["accept", "content-type", "if-match", "if-none-match"];
const ANSWERED = [
  "cache-control",
  "content-type",
  "etag",
  "ratelimit-limit",
  "ratelimit-policy",
  "ratelimit-remaining",
  "ratelimit-reset",
  "retry-after",
  "x-accel-buffering",
];

function pick(headers: Headers, names: string[]): Headers {
  return new Headers(names.flatMap((name): [string, string][] => (headers.has(name) ? [[name, headers.get(name) ?? ""]] : [])));
}

/** `who`: headers that say to the executor who asks, instead of its own token. */
export async function forward(request: Request, path: string, who?: Record<string, string>): Promise<Response> {
  const headers = pick(request.headers, ASKED); // no cookies, no authorization: they are this site's affair
  // the executor counts runs per client; it believes this only with CODE_EXECUTOR_TRUSTED_PROXIES (see README.md)
  const client = request.headers.get("x-forwarded-for");
  if (client) headers.set("x-forwarded-for", client);
  if (TOKEN) headers.set("authorization", `Bearer ${TOKEN}`);
  for (const [name, value] of Object.entries(who ?? {})) headers.set(name, value);
  let answer: Response;
  try {
    answer = await fetch(new URL(path, UPSTREAM), {
      method: request.method,
      headers,
      body: request.body,
      duplex: "half", // fetch wants it said that a streamed body is sent before the answer is read
      cache: "no-store",
      redirect: "error",
      signal: request.signal,
    } as RequestInit);
  } catch {
    if (request.signal.aborted) return new Response(null, { status: 499 });
    const detail = "The service that runs programs cannot be reached.";
    return Response.json(
      { type: "about:blank", title: "Bad Gateway", status: 502, detail },
      { status: 502, headers: { "content-type": "application/problem+json" } },
    );
  }
  return new Response(answer.body, { status: answer.status, headers: pick(answer.headers, ANSWERED) });
}
