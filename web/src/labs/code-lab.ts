/**
 * `<code-lab course="…" lab="…">`: a lab of a course, for a learner.
 *
 * The video that it belongs to, the task, the editor with Run and Submit, hints, and where to look again after a
 * failure. It is a part of the page at /labs, whose style sheet it needs; `client` must be set before it is connected.
 * Events: `lab-shown`, and `lab-problem` with the error.
 */

import { el } from "../dom.js";
import type { Course, GivenHint, LabView, Moment, Submitted, TestView } from "../labs-wire.js";
import type { Result } from "../wire.js";
import type { LabsClient } from "./client.js";
import { timeOfDay } from "./clock.js";
import { DraftView } from "./draft-view.js";
import { Drafts } from "./drafts.js";
import { Happenings } from "./happenings.js";
import { Hints } from "./hints.js";
import { LabCodeElement } from "./lab-code.js";
import { count, difficultyOf, kindOf, placeOf } from "./lab-words.js";
import { markdown } from "./markdown.js";
import { button, facts, head, link, list, source } from "./parts.js";
import { courseAddress, labAddress } from "./places.js";
import { browserStore, forgetOthers, Shelf } from "./shelf.js";
import { TryNow } from "./try-now.js";
import { VideoBox } from "./video.js";

const LOOK_AGAIN_AFTER = 5000; // ms between two looks for what another window saved

export class CodeLabElement extends HTMLElement {
  client: LabsClient | null = null;

  #course: Course | null = null;
  #view: LabView | null = null;
  #drafts: Drafts | null = null;
  #happenings: Happenings | null = null;
  #tryNow: TryNow | null = null;
  #looked = 0;
  readonly #editor = new LabCodeElement();
  readonly #videos = new Map<string, VideoBox>();
  readonly #screen = el("div", { className: "lab-video" });
  readonly #after = el("div", { className: "after", role: "status" });
  readonly #leaving = (): void => this.#leave();
  readonly #looking = (): void => void this.#look();
  readonly #online = (): void => void this.#drafts?.save();

  connectedCallback(): void {
    if (this.#view || !this.client) return;
    this.replaceChildren(el("p", { role: "status" }, "Loading"));
    this.#load(this.client).then(
      () => this.#emit("lab-shown", this.#view),
      (error: unknown) => this.#emit("lab-problem", error),
    );
  }

  disconnectedCallback(): void {
    removeEventListener("pagehide", this.#leaving);
    removeEventListener("focus", this.#looking);
    removeEventListener("online", this.#online);
    document.removeEventListener("visibilitychange", this.#looking);
    this.#drafts?.stop();
    for (const video of this.#videos.values()) video.stop();
  }

  async #load(client: LabsClient): Promise<void> {
    const [course, lab] = [this.getAttribute("course") ?? "", this.getAttribute("lab") ?? ""];
    const [about, view] = await Promise.all([
      client.get<Course>(client.at("courses/{}", course)),
      client.get<LabView>(client.at("courses/{}/labs/{}", course, lab)),
    ]);
    this.#course = about;
    this.#view = view;
    this.#happenings = new Happenings(client, course);
    forgetOthers(browserStore(), client.who);
    const shelf = new Shelf(browserStore(), client.who, course, lab);
    const drafts = new DraftView({
      shelf,
      choose: (mine) => void this.#drafts?.choose(mine),
      restore: (code) => (this.#editor.code = code),
    });
    this.#drafts = new Drafts({
      shelf,
      starter: view.starter,
      put: (code, revision, leaving) => client.putDraft(course, lab, code, revision, leaving),
      show: (state) => drafts.show(state),
      replace: (code) => (this.#editor.code = code),
    });
    this.#build(client, about, view, drafts);
    this.#happenings.note("open", lab);
    addEventListener("pagehide", this.#leaving);
    addEventListener("focus", this.#looking);
    addEventListener("online", this.#online);
    document.addEventListener("visibilitychange", this.#looking);
  }

  #build(client: LabsClient, course: Course, view: LabView, drafts: DraftView): void {
    const hint = (number: number): URL => client.at("courses/{}/labs/{}/hints/{}", course.course, view.lab, number);
    const hints = new Hints(view, {
      ask: (number) => client.send<GivenHint>("POST", hint(number)),
      told: (number) => this.#happenings?.note("hint", view.lab, { number }),
    });
    const [moment] = view.moments;
    if (moment) this.#show(moment);
    const tryNow = new TryNow(client, course.course, view.lab);
    this.#tryNow = tryNow;
    const task = el("div", { className: "task" });
    task.append(markdown(view.task, 3));
    const left = el(
      "div",
      { className: "lab-left" },
      ...(moment ? [this.#screen, tryNow.element, this.#places(view.moments)] : []),
      el("section", { ariaLabel: "Task" }, el("h2", {}, "Task"), task, ...goals(view)),
      ...(view.tests.length > 0 ? [testList(view.tests)] : []),
      ...(view.hints > 0 ? [hints.element] : []),
    );
    const right = el("div", { className: "lab-right" }, this.#editor, drafts.element, this.#after);
    this.#prepare(client, course.course, view);
    this.replaceChildren(headOf(course, view), el("div", { className: "lab" }, left, right));
    this.#begin(view);
  }

  /** Have the editor know the lab, before it is shown. */
  #prepare(client: LabsClient, course: string, view: LabView): void {
    const editor = this.#editor;
    const theme = document.documentElement.getAttribute("theme");
    if (theme) editor.setAttribute("theme", theme);
    editor.exercise = { client, course, lab: view.lab, version: view.version, policy: view.policy };
    if (view.policy === "off") editor.setAttribute("check", "off"); // by the rules that it needs to be free of
    editor.setAttribute("storage", "off"); // drafts are kept here
    editor.setAttribute("label", view.title);
    editor.setAttribute("suite", view.lab);
    editor.files = view.files;
    editor.starter = view.starter;
  }

  /** Show the learner's program, and what came of it before. */
  #begin(view: LabView): void {
    const editor = this.#editor;
    const code = this.#drafts?.open(view.draft) ?? view.starter;
    if (code !== view.starter) editor.code = code;
    editor.addEventListener("code-change", () => this.#drafts?.changed(editor.code));
    editor.addEventListener("run-result", (event) => {
      const { status } = (event as CustomEvent<Result>).detail;
      this.#happenings?.note("run", view.lab, { status });
    });
    editor.addEventListener("grade-start", () => this.#after.replaceChildren());
    editor.addEventListener("grade-result", (event) => this.#submitted((event as CustomEvent<Submitted>).detail));
    if (!view.completion) return;
    const { firstAt, attempts } = view.completion;
    const said = `You passed this lab: ${timeOfDay(firstAt)}, with ${count(attempts, "submission")}. ${this.#nextText()}`;
    this.#after.replaceChildren(el("p", { className: "passed-once" }, said, ...this.#next()));
  }

  /** Say what a submission came to, beside its tests. */
  #submitted({ passed, moment }: Submitted): void {
    const { lab = "" } = this.#view ?? {};
    void this.#drafts?.save();
    if (passed) {
      const said = el("p", {}, el("strong", {}, "You passed this lab. "), this.#nextText(), ...this.#next());
      this.#after.replaceChildren(el("div", { className: "passed-now" }, said));
      return;
    }
    if (!moment) {
      this.#after.replaceChildren();
      return;
    }
    const look = button(`Watch ${placeOf(moment, this.#course?.videos ?? [])}`, () => this.#watch(moment, lab));
    const words = moment.words.length > 0 ? ` It is about: ${moment.words.join(", ")}.` : "";
    this.#after.replaceChildren(el("div", { className: "look-again" }, el("p", {}, `The video explains this.${words}`), look));
  }

  #watch(moment: Moment, lab: string): void {
    this.#happenings?.note("segment_click", lab, { video: moment.video, start: moment.start });
    this.#show(moment)?.seek(moment.start);
    this.#screen.scrollIntoView({ block: "nearest" });
  }

  /** Show the video of a place; nothing of it is loaded yet. */
  #show({ video, start }: Moment): VideoBox | undefined {
    const about = this.#course?.videos.find((each) => each.video === video);
    if (!about) return undefined;
    let box = this.#videos.get(video);
    if (!box) {
      box = new VideoBox(about, start, {
        said: async () => (await this.client?.said(this.#course?.course ?? "", video)) ?? [],
        at: (second) => void this.#tryNow?.at(video, second),
        went: (second) => this.#happenings?.note("seek", this.#view?.lab ?? null, { video, to: Math.round(second) }),
      });
      this.#videos.set(video, box);
    }
    for (const [name, other] of this.#videos) if (name !== video) other.pause();
    if (this.#screen.firstElementChild !== box.element) this.#screen.replaceChildren(box.element);
    return box;
  }

  /** Other places where the videos speak of it. */
  #places(moments: readonly Moment[]): HTMLElement {
    const { lab = "" } = this.#view ?? {};
    const items = moments.map((moment) => {
      const words = moment.words.length > 0 ? el("span", { className: "words" }, moment.words.join(", ")) : "";
      return el("li", {}, button(placeOf(moment, this.#course?.videos ?? []), () => this.#watch(moment, lab)), " ", words);
    });
    return list("places", items, { ariaLabel: "In the videos" });
  }

  #following(): { lab: string; title: string } | undefined {
    const labs = this.#course?.labs ?? [];
    const at = labs.findIndex(({ lab }) => lab === this.#view?.lab);
    return [...labs.slice(at + 1), ...labs.slice(0, Math.max(0, at))].find(({ state }) => state !== "passed");
  }

  #nextText(): string {
    return this.#following() ? "Next: " : "It was the last one of this course.";
  }

  #next(): Node[] {
    const next = this.#following();
    return next && this.#course ? [link(labAddress(this.#course.course, next.lab), next.title)] : [];
  }

  /** Look whether another window has saved something newer. */
  async #look(): Promise<void> {
    if (document.visibilityState === "hidden") {
      void this.#drafts?.save();
      return;
    }
    if (!this.client || !this.#view || !this.#course || this.#drafts?.dirty || performance.now() - this.#looked < LOOK_AGAIN_AFTER) return;
    this.#looked = performance.now();
    const address = this.client.at("courses/{}/labs/{}", this.#course.course, this.#view.lab);
    const view = await this.client.get<LabView>(address).catch(() => null);
    this.#drafts?.refresh(view?.draft ?? null);
  }

  #emit(name: string, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true }));
  }

  #leave(): void {
    void this.#drafts?.save(true);
    this.#happenings?.note("leave", this.#view?.lab ?? null);
    this.#happenings?.tell(true);
  }
}

function headOf(course: Course, { title, summary, kind, difficulty, concepts }: LabView): HTMLElement {
  const said = [kindOf(kind), difficultyOf(difficulty), ...concepts].filter(Boolean).join(" · ");
  return head(link(courseAddress(course.course), course.title), title, facts(said), ...(summary ? [el("p", {}, summary)] : []));
}

function goals({ goals }: LabView): Node[] {
  return goals.length > 0 ? [el("h3", {}, "What you practise"), el("ul", {}, ...goals.map((goal) => el("li", {}, goal)))] : [];
}

/** The tests, as much as a learner may see before submitting. */
function testList(tests: readonly TestView[]): HTMLElement {
  const items = tests.map((test) => {
    const lines = [
      ...(test.call ? [test.call] : []),
      ...(test.args && test.args.length > 0 ? [`Arguments: ${test.args.join(" ")}`] : []),
      ...(test.stdin ? [`Input:\n${test.stdin}`] : []),
      ...(test.expected ? [`Expected:\n${test.expected}`] : []),
    ];
    const name = test.name || (/^\d+$/.test(test.id) ? `Test ${test.id}` : test.id);
    return el("li", {}, name, ...(lines.length > 0 ? [source(lines.join("\n"), name)] : []));
  });
  return el("details", { className: "tests-seen" }, el("summary", {}, `Tests (${tests.length} to see)`), el("ol", { role: "list" }, ...items));
}

if (!customElements.get("code-lab")) customElements.define("code-lab", CodeLabElement);

declare global {
  interface HTMLElementTagNameMap {
    "code-lab": CodeLabElement;
  }
}
