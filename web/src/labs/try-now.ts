/** Labs to try now: those that belong to what a video just showed. */

import { el } from "../dom.js";
import type { Suggestion, Suggestions } from "../labs-wire.js";
import type { LabsClient } from "./client.js";
import { link } from "./parts.js";
import { labAddress } from "./places.js";

const ASK_AGAIN = 10; // seconds of the video

export class TryNow {
  readonly element: HTMLElement;
  readonly #client: LabsClient;
  readonly #course: string;
  readonly #without: string | null;
  readonly #list = el("ul", { role: "list" });
  readonly #known = new Map<string, Suggestion[]>();
  #asked = "";

  /** `without`: the lab that is open already. */
  constructor(client: LabsClient, course: string, without: string | null = null) {
    this.#client = client;
    this.#course = course;
    this.#without = without;
    this.element = el("div", { className: "try-now", role: "status", hidden: true }, el("p", {}, "Try it now:"), this.#list);
  }

  /** A video is at a second. */
  async at(video: string, second: number): Promise<void> {
    const place = `${video}:${Math.floor(second / ASK_AGAIN)}`;
    if (place === this.#asked) return;
    this.#asked = place;
    let labs = this.#known.get(place);
    if (!labs) {
      const address = this.#client.at("courses/{}/videos/{}/suggestions", this.#course, video);
      address.searchParams.set("t", String(Math.floor(second)));
      try {
        labs = (await this.#client.get<Suggestions>(address)).labs;
        this.#known.set(place, labs);
      } catch {
        return; // it was an offer, no more
      }
    }
    if (place === this.#asked) this.#show(labs.filter(({ lab }) => lab !== this.#without));
  }

  #show(labs: Suggestion[]): void {
    this.element.hidden = labs.length === 0;
    this.#list.replaceChildren(...labs.map(({ lab, title }) => el("li", {}, link(labAddress(this.#course, lab), title))));
  }
}
