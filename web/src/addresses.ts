/** Where the service is. */

/** The addresses that belong to an endpoint such as https://example.org/api/execute. */
export class Addresses {
  readonly execute: URL;
  readonly socket: URL;
  readonly check: URL;
  readonly sessions: URL;

  constructor(endpoint: string, base: string) {
    this.execute = new URL(endpoint, base);
    this.socket = new URL(`${this.execute.pathname.replace(/\/$/, "")}/ws`, this.execute);
    this.socket.protocol = this.execute.protocol === "https:" ? "wss:" : "ws:";
    this.check = new URL("check", this.execute);
    this.sessions = new URL("sessions", this.execute);
  }
}

/** The service that this very script came from; for a copy in somebody's bundle, the page's own server. */
export function defaultEndpoint(script = import.meta.url, page = document.baseURI): string {
  const url = new URL(script, page);
  const served = url.protocol.startsWith("http") && /\/assets\/run-code[^/]*\.js$/.test(url.pathname);
  return served ? new URL("../api/execute", url).href : "/api/execute";
}
