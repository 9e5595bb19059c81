/** A session of the service, as a page uses it: an interpreter that lives on between the cells that are sent to it. */

import type { Addresses } from "./addresses.js";
import { type Failure, failureOf, UNREACHABLE } from "./failure.js";
import { type Listener, stream } from "./run.js";
import type { CellRequest, FileList, InputRequest, SessionInfo } from "./wire.js";

export class SessionClient {
  readonly #address: URL;
  readonly #service: () => Addresses;
  /** Seconds without a cell after which it ends. */
  readonly idleTimeout: number;
  #before: Promise<unknown> = Promise.resolve(); // what was asked for last about files, or to restart

  private constructor(address: URL, service: () => Addresses, idleTimeout: number) {
    this.#address = address;
    this.#service = service;
    this.idleTimeout = idleTimeout;
  }

  /** Open one, or say why there is none. The service is asked for anew each time: its token changes meanwhile. */
  static async open(service: () => Addresses): Promise<SessionClient | Failure> {
    const addresses = service();
    const { sessions } = addresses;
    try {
      const response = await fetch(sessions, { method: "POST", headers: addresses.authorization() });
      if (!response.ok) return await failureOf(response);
      const { id, idleTimeout } = (await response.json()) as SessionInfo;
      return new SessionClient(new URL(`${sessions.pathname}/${id}`, sessions), service, idleTimeout);
    } catch {
      return UNREACHABLE;
    }
  }

  /** Run a cell, once what was asked before is done; the listener's last event is a `result` or a `problem`. */
  async run(code: string, listener: Listener, { interactive = true } = {}): Promise<void> {
    const request: CellRequest = { code };
    await this.#before;
    const said = interactive ? request : { ...request, interactive };
    return stream(this.#at("cells"), said, listener, null, this.#service().headers());
  }

  /** Begin anew under the same name, without variables and files. */
  async restart(): Promise<Failure | null> {
    const answer = await this.#inTurn(this.#at("restart"), { method: "POST" });
    return answer instanceof Response ? null : answer;
  }

  /** What is in the working directory. */
  async files(): Promise<FileList | Failure> {
    const answer = await this.#inTurn(this.#at("files"));
    return answer instanceof Response ? ((await answer.json()) as FileList) : answer;
  }

  async putFile(path: string, content: Blob): Promise<Failure | null> {
    const answer = await this.#inTurn(this.#file(path), { method: "PUT", body: content });
    return answer instanceof Response ? null : answer;
  }

  async readFile(path: string): Promise<Blob | Failure> {
    const answer = await this.#inTurn(this.#file(path));
    return answer instanceof Response ? answer.blob() : answer;
  }

  async deleteFile(path: string): Promise<Failure | null> {
    const answer = await this.#inTurn(this.#file(path), { method: "DELETE" });
    return answer instanceof Response ? null : answer;
  }

  input(data: string): void {
    void fetch(this.#at("stdin"), {
      method: "POST",
      headers: this.#service().headers(),
      body: JSON.stringify({ data } satisfies InputRequest),
    }).catch(() => undefined); // the stream of the cell tells of a lost connection
  }

  interrupt(): void {
    void fetch(this.#at("interrupt"), { method: "POST", headers: this.#service().authorization() }).catch(() => undefined);
  }

  /** Whether it is still there; true where nobody can be asked. */
  async lives(): Promise<boolean> {
    try {
      return (await fetch(this.#address, { headers: this.#service().authorization() })).status !== 404;
    } catch {
      return true;
    }
  }

  /** End it; also while the page is left. */
  async end(): Promise<void> {
    const headers = this.#service().authorization();
    await fetch(this.#address, { method: "DELETE", headers, keepalive: true }).catch(() => undefined);
  }

  #inTurn(address: URL, init: RequestInit = {}): Promise<Response | Failure> {
    const answer = this.#before.then(() => ask(address, { ...init, headers: this.#service().authorization() }));
    this.#before = answer;
    return answer;
  }

  #at(what: string): URL {
    return new URL(`${this.#address.pathname}/${what}`, this.#address);
  }

  #file(path: string): URL {
    return this.#at(`files/${path.split("/").map(encodeURIComponent).join("/")}`);
  }
}

/** Return a good answer, or why there is none. */
async function ask(address: URL, init: RequestInit = {}): Promise<Response | Failure> {
  try {
    const response = await fetch(address, init);
    return response.ok ? response : await failureOf(response);
  } catch {
    return UNREACHABLE;
  }
}
