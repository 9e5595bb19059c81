/**
 * One run of a program: over a WebSocket, so that it can be talked to while it runs, or, where none can be opened (a
 * proxy, an older service), over fetch and server-sent events, which carry output only.
 */

import type { Addresses } from "./addresses.js";
import type { RateLeft } from "./allowance.js";
import { CUT_OFF, type Failure, UNREACHABLE } from "./failure.js";
import { follow } from "./follow.js";
import { Whole, type WholeEvent } from "./whole.js";
import type { ClientMessage, RunRequest, ServiceEvent } from "./wire.js";

export type Transport = "auto" | "websocket" | "sse";

/** What happens to a run: the service's events, what is left of the rate limit, and why there is no result. */
export type RunEvent =
  | Exclude<WholeEvent, { type: "problem" }>
  | { type: "rate"; rate: RateLeft }
  | ({ type: "problem" } & Failure);

/** Told of every event; the last is a `result` or a `problem`. */
export type Listener = (event: RunEvent) => void;

export interface Run {
  /** Whether the program can be given input and interrupted while it runs. */
  readonly interactive: boolean;
  /** Give the program a piece of its standard input. */
  input(text: string): void;
  /** End its standard input. */
  endInput(): void;
  /** Ask it to stop, as Ctrl-C does. */
  interrupt(): void;
  /** Stop it. */
  cancel(): void;
}

const OPEN_WITHIN = 5000; // ms
const ANSWER_WITHIN = 5000; // ms from a cancel to the result

/** Sockets that could not be opened: nobody should wait for a second failure. */
const closedDoors = new Set<string>();

export function start(addresses: Addresses, request: RunRequest, transport: Transport, listener: Listener): Run {
  const door = `${addresses.socket.href} ${addresses.token}`; // a newer token may open it
  if (transport === "sse" || (transport === "auto" && closedDoors.has(door))) {
    return new StreamRun(addresses, request, listener);
  }
  const run = new Switch();
  run.current = new SocketRun(addresses, request, listener, () => {
    if (transport === "websocket") {
      listener({ type: "problem", ...UNREACHABLE });
      return;
    }
    closedDoors.add(door);
    run.current = new StreamRun(addresses, request, listener);
  });
  return run;
}

/** Passes on to the run over whichever transport it came to be. */
class Switch implements Run {
  current: Run | undefined;

  get interactive(): boolean {
    return this.current?.interactive ?? false;
  }

  input(text: string): void {
    this.current?.input(text);
  }

  endInput(): void {
    this.current?.endInput();
  }

  interrupt(): void {
    this.current?.interrupt();
  }

  cancel(): void {
    this.current?.cancel();
  }
}

class SocketRun implements Run {
  readonly interactive = true;
  readonly #socket: WebSocket;
  readonly #listener: Listener;
  #opened = false;
  #begun = false;
  #ended = false;

  constructor(addresses: Addresses, request: RunRequest, listener: Listener, closed: () => void) {
    const socket = new WebSocket(addresses.socket, addresses.protocols());
    this.#socket = socket;
    this.#listener = listener;
    const whole = new Whole();
    const giveUp = setTimeout(() => socket.close(), OPEN_WITHIN);
    socket.addEventListener("open", () => {
      clearTimeout(giveUp);
      if (this.#ended) return;
      this.#opened = true;
      socket.send(JSON.stringify(request));
      if (request.stdin) this.endInput(); // all of it was given beforehand
    });
    socket.addEventListener("message", (message: MessageEvent<string>) => {
      if (this.#ended) return;
      const event = JSON.parse(message.data) as ServiceEvent;
      if (event.type === "started" && event.rateLimit) listener({ type: "rate", rate: event.rateLimit });
      this.#begun ||= event.type === "started";
      this.#ended = event.type === "result" || event.type === "problem";
      listener(whole.take(event));
    });
    socket.addEventListener("close", () => {
      clearTimeout(giveUp);
      if (this.#ended) return;
      this.#ended = true;
      if (this.#opened) listener({ type: "problem", ...CUT_OFF });
      else closed();
    });
  }

  #send(message: ClientMessage): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  input(data: string): void {
    this.#send({ type: "stdin", data });
  }

  endInput(): void {
    this.#send({ type: "eof" });
  }

  interrupt(): void {
    this.#send({ type: "interrupt" });
  }

  cancel(): void {
    if (this.#begun) {
      this.#send({ type: "cancel" });
      setTimeout(() => this.#socket.close(), ANSWER_WITHIN);
    } else if (!this.#ended) {
      this.#ended = true;
      this.#socket.close();
      this.#listener({ type: "problem", ...CUT_OFF });
    }
  }
}

class StreamRun implements Run {
  readonly interactive = false;
  readonly #abort = new AbortController();

  constructor(addresses: Addresses, request: RunRequest, listener: Listener) {
    void stream(addresses.execute, request, listener, this.#abort.signal, addresses.headers());
  }

  input(): void {} // there is no way to it

  endInput(): void {}

  interrupt(): void {
    this.cancel();
  }

  cancel(): void {
    this.#abort.abort();
  }
}

/** Send a request and tell of the events that answer it; resolves after the last of them. */
export async function stream(
  address: URL,
  request: object,
  listener: Listener,
  signal: AbortSignal | null = null,
  headers?: Record<string, string>,
): Promise<void> {
  const whole = new Whole();
  const question = { address, request, headers, signal, last: "result", cutOff: CUT_OFF };
  for await (const event of follow<ServiceEvent>(question)) listener(event.type === "rate" ? event : whole.take(event));
}
