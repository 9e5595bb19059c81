/** One lab for its teacher: read, edit, verify, place in the videos, publish. */

import { el } from "../dom.js";
import type { Finding, LabForm, LabKind, LabReport, TaughtCourse, TaughtLab } from "../labs-wire.js";
import { type LabsClient, LabsError } from "./client.js";
import { field, fields, listOf, Said, select } from "./forms.js";
import { count, kindOf } from "./lab-words.js";
import { markdown } from "./markdown.js";
import { matchOfLab } from "./matching.js";
import { badge, facts, head, link, list, source } from "./parts.js";
import { labAddress, teachAddress } from "./places.js";
import { standing } from "./teach-page.js";

const FRESH: LabForm = { id: "", title: "", task: "", suite: { tests: [{ id: "1", kind: "io", stdin: "", expected: "" }] } };

/** `id` "new": a lab that is not there yet. */
export async function teachLab(client: LabsClient, courseId: string, id: string): Promise<Node[]> {
  const course = await client.get<TaughtCourse>(client.at("teach/courses/{}", courseId));
  const fresh = id === "new";
  const kept = fresh ? null : await client.get<TaughtLab>(client.at("teach/courses/{}/labs/{}", courseId, id));
  const entry = course.labs.find(({ lab }) => lab === id);
  const form = new LabEditor(client, course, kept);
  return [
    head(link(teachAddress(courseId), course.title), kept?.lab.title ?? "A new lab", form.standing),
    form.actions,
    form.said.element,
    form.report,
    form.element,
    ...(fresh ? [] : [matchOfLab(client, course, id, entry?.moments ?? [])]),
  ];
}

class LabEditor {
  readonly element: HTMLElement;
  readonly said = new Said();
  readonly report = el("div", { className: "report", role: "region", ariaLabel: "What the verification found", hidden: true });
  readonly standing = el("p", { className: "facts" });
  readonly actions = el("div", { className: "actions" });
  readonly #client: LabsClient;
  readonly #course: string;
  #kept: TaughtLab | null;
  #saved = ""; // what the form said then
  readonly #id = el("input", { required: true, spellcheck: false, autocapitalize: "off" });
  readonly #title = el("input", { required: true });
  readonly #summary = el("input");
  readonly #concepts = el("input");
  readonly #difficulty = select([
    ["1", "easy"],
    ["2", "medium"],
    ["3", "hard"],
  ]);
  readonly #kind = select((["write", "repair", "fill", "order", "predict"] as const).map((kind) => [kind, kindOf(kind)] as const));
  readonly #task = area(12);
  readonly #preview = el("div", { className: "task", role: "region", ariaLabel: "The task as learners read it" });
  readonly #starter = area(8, true);
  readonly #solution = area(10, true);
  readonly #hints = area(6);
  readonly #suite = area(14, true);

  constructor(client: LabsClient, course: TaughtCourse, kept: TaughtLab | null) {
    this.#client = client;
    this.#course = course.course;
    this.#kept = kept;
    this.#fill(kept?.lab ?? FRESH);
    this.#task.addEventListener("input", () => this.#show());
    this.#id.readOnly = kept !== null;
    const two = (...parts: Node[]): HTMLElement => el("div", { className: "teach-lab" }, ...parts);
    this.element = el(
      "div",
      {},
      fields(
        field("Title", this.#title),
        field("Id", this.#id, "small letters, digits, - and ."),
        field("Summary", this.#summary),
        field("Concepts", this.#concepts, "separated by commas"),
        field("Difficulty", this.#difficulty),
        field("Kind", this.#kind),
      ),
      two(field("Task, in Markdown", this.#task), el("section", { ariaLabel: "Preview" }, el("h2", {}, "Preview"), this.#preview)),
      two(field("Starter", this.#starter), field("Solution", this.#solution, "learners never get it")),
      two(
        field("Tests, as JSON", this.#suite, "as POST /api/grade takes a suite"),
        field("Hints", this.#hints, "with a line of --- between two"),
      ),
    );
    const { said } = this;
    this.actions.append(
      said.button("Save", () => this.#save(), { className: "primary" }),
      said.button("Verify", () => this.#verify()),
      said.button("Publish", () => this.#publish()),
    );
    if (kept) this.actions.append(said.button("Retire", () => this.#retire()), said.button("Delete", () => this.#delete()));
    this.#stand();
  }

  #fill(lab: LabForm): void {
    this.#id.value = lab.id;
    this.#title.value = lab.title;
    this.#summary.value = lab.summary ?? "";
    this.#concepts.value = (lab.concepts ?? []).join(", ");
    this.#difficulty.value = String(lab.difficulty ?? 1);
    this.#kind.value = lab.kind ?? "write";
    this.#task.value = lab.task;
    this.#starter.value = lab.starter ?? "";
    this.#solution.value = lab.solution ?? "";
    this.#hints.value = (lab.hints ?? []).join("\n---\n");
    this.#suite.value = lab.suite ? JSON.stringify(lab.suite, null, 2) : "";
    this.#saved = JSON.stringify(this.#read());
    this.#show();
  }

  #show(): void {
    this.#preview.replaceChildren(markdown(this.#task.value, 3));
  }

  /** The lab that the form says; throws a sentence for the teacher. */
  #read(): LabForm {
    let suite: Record<string, unknown> | null = null;
    if (this.#suite.value.trim()) {
      try {
        suite = JSON.parse(this.#suite.value) as Record<string, unknown>;
      } catch (error) {
        throw new Error(`The tests are not JSON: ${(error as Error).message}`);
      }
    }
    const { suite: _, ...rest } = this.#kept?.lab ?? { id: "", title: "", task: "" };
    return {
      ...rest,
      id: this.#id.value.trim(),
      title: this.#title.value.trim(),
      summary: this.#summary.value.trim(),
      concepts: listOf(this.#concepts.value),
      difficulty: Number(this.#difficulty.value),
      kind: this.#kind.value as LabKind,
      task: this.#task.value,
      starter: this.#starter.value,
      solution: this.#solution.value,
      hints: this.#hints.value.split(/^---\s*$/m).map((hint) => hint.trim()).filter(Boolean),
      ...(suite ? { suite } : {}),
    };
  }

  get #changed(): boolean {
    return this.#kept === null || JSON.stringify(this.#read()) !== this.#saved;
  }

  #address(step = ""): URL {
    return this.#client.at(`teach/courses/{}/labs/{}${step}`, this.#course, this.#id.value.trim());
  }

  async #save(): Promise<string> {
    const lab = this.#read();
    const fresh = this.#kept === null;
    await this.#client.send("PUT", this.#address(), { lab });
    this.#kept = await this.#client.get<TaughtLab>(this.#address());
    this.#saved = JSON.stringify(this.#read());
    if (fresh) history.replaceState(null, "", teachAddress(this.#course, lab.id));
    this.#id.readOnly = true;
    this.#stand();
    this.#showReport(null);
    return `Saved as version ${this.#kept.version}. Verify it before you publish it.`;
  }

  async #verify(): Promise<string> {
    if (this.#changed) await this.#save();
    this.said.say("Verifying: the solution, the starter and wrong versions run …");
    const report = await this.#client.send<LabReport>("POST", this.#address("/verify"));
    this.#kept = await this.#client.get<TaughtLab>(this.#address());
    this.#stand();
    this.#showReport(report);
    return report.ok ? "Verified. Publish it when you have read it." : "Not verified. See what was found.";
  }

  async #publish(): Promise<string> {
    if (this.#changed) throw new Error("Save and verify your changes first.");
    try {
      await this.#client.send("POST", this.#address("/publish"));
    } catch (error) {
      if (error instanceof LabsError && error.status === 409) throw new Error(`${error.message} Verify it first.`);
      throw error;
    }
    await this.#again();
    return "Published: learners see it.";
  }

  async #retire(): Promise<string> {
    await this.#client.send("POST", this.#address("/retire"));
    await this.#again();
    return "Retired: learners do not see it any more.";
  }

  async #delete(): Promise<string | void> {
    if (!confirm("Delete this lab, and what learners did with it?")) return "Nothing was deleted.";
    await this.#client.send("DELETE", this.#address());
    location.assign(teachAddress(this.#course));
  }

  async #again(): Promise<void> {
    this.#kept = await this.#client.get<TaughtLab>(this.#address());
    this.#stand();
  }

  #stand(): void {
    const kept = this.#kept;
    if (kept) this.standing.replaceChildren(standing(kept), " ", link(labAddress(this.#course, kept.lab.id), "As learners see it"));
    else this.standing.replaceChildren("Not saved yet");
    if (kept?.report && this.report.hidden) this.#showReport(kept.report);
  }

  #showReport(report: LabReport | null): void {
    this.report.hidden = report === null;
    if (!report) return;
    const { ok, findings, mutants, killed, runs, seconds } = report;
    this.report.replaceChildren(
      el("h2", {}, ok ? "Verified" : "Not verified"),
      facts(`${killed} of ${mutants} wrong versions fail, ${count(runs, "run")}, ${seconds.toFixed(1)} s`),
      findings.length > 0 ? list("findings", findings.map(findingItem)) : el("p", {}, "Nothing was found."),
    );
  }
}

function findingItem({ severity, code, message, where, detail }: Finding): HTMLElement {
  const more = detail ? [source(detail, `More of ${code}: ${message}`)] : [];
  const said = ` ${where ? `${where}: ` : ""}${message} `;
  return el("li", {}, badge(severity, severity === "error" ? "wrong" : ""), said, el("span", { className: "facts" }, code), ...more);
}

function area(rows: number, code = false): HTMLTextAreaElement {
  return el("textarea", { rows, spellcheck: !code, className: code ? "code" : "" });
}
