/** A real HTTP server for one test. */

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

/** What it was asked, in order. */
export interface Asked {
  method: string;
  path: string;
  body: unknown;
}

export interface Service {
  url: URL;
  asked: Asked[];
}

/** Serve until the test is over. */
export async function serve(
  test: TestContext,
  answer: (request: Asked, response: ServerResponse, authorization: string | undefined) => void,
): Promise<Service> {
  const asked: Asked[] = [];
  const server = createServer((request: IncomingMessage, response) => {
    let text = "";
    request.setEncoding("utf8");
    request.on("data", (piece: string) => (text += piece));
    request.on("end", () => {
      const one = { method: request.method ?? "", path: request.url ?? "", body: text.startsWith("{") ? JSON.parse(text) : text || null };
      asked.push(one);
      answer(one, response, request.headers.authorization);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  test.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`), asked };
}

export function json(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { "Content-Type": "application/json", ...headers }).end(JSON.stringify(body));
}
