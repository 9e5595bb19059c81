/** Where the service is, and how to show it a learner token. */

const PROTOCOL = "code-executor";

/** The addresses that belong to an endpoint such as https://example.org/api/execute, and the token to show there. */
export class Addresses {
  readonly execute: URL;
  readonly socket: URL;
  readonly check: URL;
  readonly grade: URL;
  readonly sessions: URL;

  constructor(
    endpoint: string,
    base: string,
    readonly token = "",
  ) {
    this.execute = new URL(endpoint, base);
    this.socket = new URL(`${this.execute.pathname.replace(/\/$/, "")}/ws`, this.execute);
    this.socket.protocol = this.execute.protocol === "https:" ? "wss:" : "ws:";
    this.check = new URL("check", this.execute);
    this.grade = new URL("grade", this.execute);
    this.sessions = new URL("sessions", this.execute);
  }

  /** The header that shows the token, where there is one. */
  authorization(): Record<string, string> {
    return this.token ? { Authorization: `Bearer ${this.token}` } : {};
  }

  /** The headers of a request in JSON. */
  headers(): Record<string, string> {
    return { "Content-Type": "application/json", ...this.authorization() };
  }

  /** What a WebSocket offers: browsers let it have no headers, but this. */
  protocols(): string[] {
    return this.token ? [PROTOCOL, `${PROTOCOL}.token.${this.token}`] : [];
  }
}

/** The service that this very script came from; for a copy in somebody's bundle, the page's own server. */
export function defaultEndpoint(script = import.meta.url, page = document.baseURI): string {
  const url = new URL(script, page);
  const served = url.protocol.startsWith("http") && /\/assets\/run-code[^/]*\.js$/.test(url.pathname);
  return served ? new URL("../api/execute", url).href : "/api/execute";
}
