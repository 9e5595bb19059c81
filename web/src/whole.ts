/** The result of a stream, with what its events had: the service sends nothing twice. */

import type { Display, OutputFile, Result, ServiceEvent } from "./wire.js";

export type WholeEvent = Exclude<ServiceEvent, { type: "result" }> | ({ type: "result" } & Result);

export class Whole {
  #output = "";
  #stderr = "";
  readonly #displays: Display[] = [];
  readonly #files: OutputFile[] = [];

  /** Note an event of the run, and return it; the result with everything that came before it. */
  take(event: ServiceEvent): WholeEvent {
    switch (event.type) {
      case "stdout":
        this.#output += event.data;
        break;
      case "stderr":
        this.#stderr += event.data;
        break;
      case "display": {
        const { type: _, ...display } = event;
        this.#displays.push(display);
        break;
      }
      case "file": {
        const { type: _, ...file } = event;
        this.#files.push(file);
        break;
      }
      case "result":
        return this.#result(event);
    }
    return event;
  }

  #result({ streamed, ...rest }: Extract<ServiceEvent, { type: "result" }>): WholeEvent {
    if (!(streamed as unknown)) return rest; // an older service repeats everything
    const wrote = this.#stderr.replace(/\n$/, "");
    return {
      ...rest,
      output: this.#output + rest.output,
      error: wrote && rest.error ? `${wrote}\n${rest.error}` : wrote || rest.error,
      displays: [...this.#displays, ...rest.displays],
      files: [...this.#files, ...rest.files],
    };
  }
}
