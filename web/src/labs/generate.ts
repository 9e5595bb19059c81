/** Makes labs: of a teacher's code, out of the bank, or with a model. What is made is a draft, verified, to be read. */

import { el } from "../dom.js";
import { CUT_OFF } from "../failure.js";
import { follow } from "../follow.js";
import type { GenerateEvent, GenerateRequest, LabKind, TaughtCourse } from "../labs-wire.js";
import type { LabsClient } from "./client.js";
import { secondsOf } from "./clock.js";
import { actions, field, fields, listOf, Said, select } from "./forms.js";
import { count, kindOf } from "./lab-words.js";
import { badge, link } from "./parts.js";
import { teachAddress } from "./places.js";

const KINDS: readonly LabKind[] = ["write", "repair", "fill", "order", "predict"];
const LOST = { ...CUT_OFF, detail: "The connection was lost before all labs were made. Those that are in the list are there." };

/** `refresh` is called when labs were made. */
export function generatePanel(client: LabsClient, course: TaughtCourse, refresh: () => Promise<void>): HTMLElement {
  return new Generator(client, course, refresh).element;
}

class Generator {
  readonly element: HTMLElement;
  readonly #client: LabsClient;
  readonly #course: string;
  readonly #refresh: () => Promise<void>;
  readonly #said = new Said();
  readonly #steps = el("ol", { className: "progress-list", role: "list", ariaLabel: "Progress" });
  #abort: AbortController | null = null;
  readonly #stop = el("button", { type: "button", hidden: true, onclick: () => this.#abort?.abort() }, "Stop");

  constructor(client: LabsClient, course: TaughtCourse, refresh: () => Promise<void>) {
    this.#client = client;
    this.#course = course.course;
    this.#refresh = refresh;
    const parts = [this.#code(), this.#bank(), ...(course.videos.length > 0 ? [this.#model(course)] : [])];
    const summary = el("summary", {}, "Generate labs");
    this.element = el("details", { className: "panel" }, summary, ...parts, actions(this.#stop), this.#said.element, this.#steps);
  }

  #code(): HTMLElement {
    const name = el("input", { value: "notes.py", spellcheck: false });
    const source = el("textarea", { rows: 8, className: "code", spellcheck: false });
    const file = el("input", { type: "file", accept: ".py,.ipynb,.md", onchange: () => void read() });
    const read = async (): Promise<void> => {
      const chosen = file.files?.[0];
      if (!chosen) return;
      name.value = chosen.name;
      source.value = await chosen.text();
    };
    const boxes = KINDS.map((kind) => [kind, el("input", { type: "checkbox", checked: true })] as const);
    const labels = boxes.map(([kind, box]) => el("label", {}, box, ` ${kindOf(kind)} `));
    const choice = el("fieldset", { className: "all" }, el("legend", {}, "Kinds"), ...labels);
    const make = (): GenerateRequest => {
      if (!source.value.trim()) throw new Error("Give some code: a file, or pasted.");
      return { from: "code", name: name.value.trim(), source: source.value, kinds: boxes.filter(([, box]) => box.checked).map(([kind]) => kind) };
    };
    return el(
      "section",
      { ariaLabel: "From your code" },
      el("h3", {}, "From your code"),
      fields(
        field("A file", file, "Python, a notebook, or notes in Markdown"),
        field("Its name", name),
        field("or pasted", source, "", true),
        choice,
      ),
      this.#button("Generate from the code", make),
    );
  }

  #bank(): HTMLElement {
    const concepts = el("input", { placeholder: "loops.while, recursion" });
    const make = (): GenerateRequest => {
      const wanted = listOf(concepts.value);
      if (wanted.length === 0) throw new Error("Name at least one concept.");
      return { from: "bank", concepts: wanted };
    };
    return el(
      "section",
      { ariaLabel: "From the bank" },
      el("h3", {}, "From the bank"),
      fields(field("Concepts", concepts, "separated by commas")),
      this.#button("Take from the bank", make),
    );
  }

  #model(course: TaughtCourse): HTMLElement {
    const video = select(course.videos.map((each) => [each.video, each.title] as const));
    const [start, end] = [el("input", { placeholder: "3:05" }), el("input", { placeholder: "4:10" })];
    const kind = select(KINDS.map((each) => [each, kindOf(each)] as const));
    const make = (): GenerateRequest => {
      const [from, to] = [secondsOf(start.value), secondsOf(end.value)];
      if (from === null || to === null || to <= from) throw new Error("Write from and to as 3:05.");
      return { from: "model", video: video.value, start: from, end: to, kind: kind.value as LabKind };
    };
    return el(
      "section",
      { ariaLabel: "With a model" },
      el("h3", {}, "With a model"),
      fields(field("Video", video), field("From", start), field("To", end), field("Kind", kind)),
      this.#button("Generate with the model", make),
    );
  }

  #button(text: string, request: () => GenerateRequest): HTMLElement {
    return actions(this.#said.button(text, () => this.#generate(request())));
  }

  async #generate(request: GenerateRequest): Promise<string> {
    if (this.#abort) throw new Error("Labs are being made already. Stop that first.");
    this.#abort = new AbortController();
    this.#stop.hidden = false;
    this.#steps.replaceChildren();
    const address = this.#client.at("teach/courses/{}/generate", this.#course);
    const headers = { "Content-Type": "application/json", ...this.#client.headers() };
    let made = 0;
    let failed = false; // a failure of the service's own is the last it says
    try {
      for await (const event of follow<GenerateEvent>({ address, request, headers, signal: this.#abort.signal, last: "done", cutOff: LOST })) {
        if (event.type === "problem" && failed && event.status === 0) break;
        if (event.type === "problem") throw new Error(this.#abort.signal.aborted ? `Stopped. ${count(made, "lab")} made.` : event.detail);
        failed = event.type === "failed";
        if (event.type === "lab") made += 1;
        const item = this.#item(event);
        if (item) this.#steps.append(item);
      }
    } finally {
      this.#abort = null;
      this.#stop.hidden = true;
    }
    if (made === 0) return "No lab was made.";
    await this.#refresh();
    return `${count(made, "lab")} made, as drafts. Read each before you publish it: a mistake in your code is a mistake in its tests.`;
  }

  #item(event: { type: string }): HTMLElement | null {
    const said = event as GenerateEvent;
    switch (said.type) {
      case "step":
        return el("li", {}, said.message);
      case "lab": {
        const { lab, report } = said;
        const proof = report?.ok ? badge("verified", "good") : badge("not verified", "wrong");
        return el("li", {}, link(teachAddress(this.#course, lab.id), lab.title || lab.id), " ", proof);
      }
      case "failed":
        return el("li", { className: "bad" }, said.why);
      default:
        return null;
    }
  }
}
