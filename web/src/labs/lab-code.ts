/** `<lab-code>`: `<run-code>` whose tests are those of a lab. */

import { Addresses } from "../addresses.js";
import type { SubmitRequest } from "../labs-wire.js";
import { RunCodeElement } from "../run-code.js";
import type { RunRequest } from "../wire.js";
import type { LabsClient } from "./client.js";

/** The lab that an editor submits to. `policy`: "off" if its programs need what the service refuses others. */
export interface Exercise {
  client: LabsClient;
  course: string;
  lab: string;
  version: number;
  policy: string;
}

/** The service's addresses; what is graded goes to the lab. */
class LabAddresses extends Addresses {
  override readonly grade: URL;
  readonly #client: LabsClient;

  constructor({ client, course, lab }: Exercise) {
    super(new URL("../../execute", client.root).href, client.root.href, client.token);
    this.grade = client.at("courses/{}/labs/{}/submit", course, lab);
    this.#client = client;
  }

  override authorization(): Record<string, string> {
    return this.#client.headers();
  }
}

export class LabCodeElement extends RunCodeElement {
  exercise: Exercise | null = null;

  override connectedCallback(): void {
    super.connectedCallback();
    const label = this.shadowRoot?.querySelector(".check > span");
    if (label) label.textContent = "Submit";
    this.shadowRoot?.querySelector(".check")?.setAttribute("title", "Have the tests of this lab look at the program");
  }

  protected override addresses(): Addresses {
    return this.exercise ? new LabAddresses(this.exercise) : super.addresses();
  }

  protected override runRequest(): RunRequest {
    return { ...super.runRequest(), ...(this.exercise?.policy === "off" ? { policy: "off" } : {}) };
  }

  protected override gradeRequest(): object {
    if (!this.exercise) return super.gradeRequest();
    return { code: this.code, version: this.exercise.version } satisfies SubmitRequest;
  }
}

if (!customElements.get("lab-code")) customElements.define("lab-code", LabCodeElement);

declare global {
  interface HTMLElementTagNameMap {
    "lab-code": LabCodeElement;
  }
}
