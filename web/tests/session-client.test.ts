import assert from "node:assert/strict";
import { test } from "node:test";
import { Addresses } from "../src/addresses.js";
import { UNREACHABLE } from "../src/failure.js";
import type { RunEvent } from "../src/run.js";
import { SessionClient } from "../src/session-client.js";
import { result } from "./results.js";
import { json, serve, type Service } from "./server.js";

const SESSION = { id: "s3cret", state: "idle", cells: 0, idleTimeout: 600, expiresIn: 3600 };

async function opened({ url }: Service): Promise<SessionClient> {
  const session = await SessionClient.open(() => new Addresses("/api/execute", url.href));
  assert.ok(session instanceof SessionClient);
  return session;
}

test("a session is opened, used and ended at its own address", async (t) => {
  const service = await serve(t, ({ path }, response) => {
    if (path === "/api/sessions") json(response, 201, SESSION);
    else if (path.endsWith("/cells")) {
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      response.end(`event: result\ndata: ${JSON.stringify(result())}\n\n`);
    } else response.writeHead(204).end();
  });
  const session = await opened(service);
  assert.equal(session.idleTimeout, 600);
  const events: RunEvent[] = [];
  await session.run("x = 1", (event) => events.push(event));
  assert.deepEqual(events, [{ type: "result", ...result() }]);
  await session.end();
  assert.deepEqual(service.asked, [
    { method: "POST", path: "/api/sessions", body: null },
    { method: "POST", path: "/api/sessions/s3cret/cells", body: { code: "x = 1" } },
    { method: "DELETE", path: "/api/sessions/s3cret", body: null },
  ]);
});

test("input and interrupts go to the running cell", async (t) => {
  let heard: () => void = () => undefined;
  const both = new Promise<void>((resolve) => (heard = resolve));
  const service = await serve(t, ({ path }, response) => {
    if (path === "/api/sessions") json(response, 201, SESSION);
    else response.writeHead(204).end();
    if (service.asked.length === 3) heard();
  });
  const session = await opened(service);
  session.input("Ada\n");
  session.interrupt();
  await both;
  const [, ...asked] = service.asked.sort((one, other) => one.path.localeCompare(other.path));
  assert.deepEqual(asked, [
    { method: "POST", path: "/api/sessions/s3cret/interrupt", body: null },
    { method: "POST", path: "/api/sessions/s3cret/stdin", body: { data: "Ada\n" } },
  ]);
});

test("orders about files and a restart are given one after the other", async (t) => {
  let atOnce = 0;
  let most = 0;
  const service = await serve(t, ({ path, method }, response) => {
    if (path === "/api/sessions") {
      json(response, 201, SESSION);
      return;
    }
    most = Math.max(most, ++atOnce);
    setTimeout(() => {
      atOnce--;
      json(response, 200, method === "GET" ? { files: [], filesOmitted: 0 } : SESSION);
    }, 5);
  });
  const session = await opened(service);
  await Promise.all([session.files(), session.restart(), session.deleteFile("a.txt"), session.files()]);
  assert.equal(most, 1);
  assert.deepEqual(service.asked.slice(1).map(({ method }) => method), ["GET", "POST", "DELETE", "GET"]);
});

test("a cell waits for the files that were given before it", async (t) => {
  let there = false;
  const service = await serve(t, ({ path, method }, response) => {
    if (path === "/api/sessions") json(response, 201, SESSION);
    else if (method === "PUT") {
      setTimeout(() => {
        there = true;
        response.writeHead(204).end();
      }, 50);
    } else if (!there) json(response, 409, { title: "Conflict", detail: "Files are being changed." });
    else {
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      response.end(`event: result\ndata: ${JSON.stringify(result())}\n\n`);
    }
  });
  const session = await opened(service);
  const events: RunEvent[] = [];
  await Promise.all([session.putFile("a.txt", new Blob(["1"])), session.run("x", (event) => events.push(event))]);
  assert.deepEqual(events.map(({ type }) => type), ["result"]);
});

test("why there is none is told", async (t) => {
  const full = await serve(t, (_, response) => json(response, 503, { title: "Service Unavailable", detail: "All are in use." }));
  const failure = { status: 503, title: "Service Unavailable", detail: "All are in use." };
  assert.deepEqual(await SessionClient.open(() => new Addresses("/api/execute", full.url.href)), failure);
  const gone = await serve(t, (_, response) => void response.socket?.destroy());
  assert.deepEqual(await SessionClient.open(() => new Addresses("/api/execute", gone.url.href)), UNREACHABLE);
});

test("a session is over when the service says so, and not when nobody answers", async (t) => {
  const answers: (number | null)[] = [200, 404, 503, null];
  const service = await serve(t, ({ method }, response) => {
    if (method === "POST") return json(response, 201, SESSION);
    const status = answers.shift();
    if (status) json(response, status, {});
    else response.socket?.destroy();
  });
  const session = await opened(service);
  const lives = [await session.lives(), await session.lives(), await session.lives(), await session.lives()];
  assert.deepEqual(lives, [true, false, true, true]);
});

test("files go to and come from the session's own address, whatever their names", async (t) => {
  const service = await serve(t, ({ path, method }, response) => {
    if (path === "/api/sessions") json(response, 201, SESSION);
    else if (path.endsWith("/files")) json(response, 200, { files: [{ path: "a b/c#d", size: 1, mediaType: "text/plain" }], filesOmitted: 2 });
    else if (path.endsWith("/missing")) json(response, 404, { title: "Not Found", detail: "There is no such file." });
    else if (method === "GET") response.writeHead(200, { "Content-Type": "application/octet-stream" }).end("x");
    else response.writeHead(204).end();
  });
  const session = await opened(service);
  assert.equal(await session.putFile("a b/c#d", new Blob(["1"])), null);
  const content = await session.readFile("a b/c#d");
  assert.ok(content instanceof Blob);
  assert.equal(await content.text(), "x");
  assert.equal(await session.deleteFile("a b/c#d"), null);
  const found = await session.files();
  assert.ok("files" in found && found.filesOmitted === 2);
  const failure = await session.deleteFile("missing");
  assert.equal(failure?.detail, "There is no such file.");
  assert.equal(await session.restart(), null);
  assert.deepEqual(
    service.asked.slice(1).map(({ method, path }) => `${method} ${path}`),
    [
      "PUT /api/sessions/s3cret/files/a%20b/c%23d",
      "GET /api/sessions/s3cret/files/a%20b/c%23d",
      "DELETE /api/sessions/s3cret/files/a%20b/c%23d",
      "GET /api/sessions/s3cret/files",
      "DELETE /api/sessions/s3cret/files/missing",
      "POST /api/sessions/s3cret/restart",
    ],
  );
});

test("a cell for which nobody types says so", async (t) => {
  const service = await serve(t, ({ path }, response) => {
    if (path === "/api/sessions") json(response, 201, SESSION);
    else {
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      response.end(`event: result\ndata: ${JSON.stringify(result())}\n\n`);
    }
  });
  const session = await opened(service);
  await session.run("input()", () => undefined, { interactive: false });
  assert.deepEqual(service.asked[1]?.body, { code: "input()", interactive: false });
});

test("every order shows the token that there is then", async (t) => {
  const shown: (string | undefined)[] = [];
  const service = await serve(t, ({ path }, response, authorization) => {
    shown.push(authorization);
    if (path === "/api/sessions") json(response, 201, SESSION);
    else if (path.endsWith("/cells")) {
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      response.end(`event: result\ndata: ${JSON.stringify(result())}\n\n`);
    } else json(response, 200, { files: [], filesOmitted: 0 });
  });
  let token = "first";
  const session = await SessionClient.open(() => new Addresses("/api/execute", service.url.href, token));
  assert.ok(session instanceof SessionClient);
  token = "second";
  await session.run("x = 1", () => undefined);
  await session.putFile("a.txt", new Blob(["a"]));
  await session.readFile("a.txt");
  await session.files();
  await session.deleteFile("a.txt");
  await session.restart();
  await session.lives();
  token = "";
  await session.end();
  assert.deepEqual(shown, ["Bearer first", ...Array<string>(7).fill("Bearer second"), undefined]);
});
