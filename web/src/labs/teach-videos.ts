/** The videos of a course: transcripts that a teacher pastes or uploads, or has fetched. */

import { el } from "../dom.js";
import type { Fetching, TaughtCourse, Transcribed, Video, VideoRequest } from "../labs-wire.js";
import type { LabsClient } from "./client.js";
import { clock, linkTo, youtubeId } from "./clock.js";
import { actions, field, fields, Said, table } from "./forms.js";
import { count } from "./lab-words.js";
import { button, outside } from "./parts.js";

const LOOK_EVERY = 2000; // ms, for what is being fetched

export interface VideoPanel {
  /** Show the videos that there are now. */
  show(course: TaughtCourse): void;
  /** The list, and the form; `refresh` is called after a change. */
  elements(refresh: () => Promise<void>): HTMLElement[];
}

export function videoPanel(client: LabsClient, course: TaughtCourse): VideoPanel {
  const form = new VideoForm(client, course.course);
  const said = new Said();
  const box = el("div", {});
  let refresh: () => Promise<void> = () => Promise.resolve();
  const drop = async ({ video, title }: Video): Promise<string> => {
    if (!confirm(`Delete the video ${title} and its transcript?`)) return "Nothing was deleted.";
    await client.send("DELETE", client.at("teach/courses/{}/videos/{}", course.course, video));
    await refresh();
    return `${title} is deleted.`;
  };
  const row = (video: Video): (Node | string)[] => [
    outside(linkTo(video, 0), video.title),
    clock(video.duration),
    count(video.chapters.length, "chapter"),
    actions(
      button("Change", () => form.edit(video), { ariaLabel: `Change ${video.title}` }),
      said.button("Delete", () => drop(video), { ariaLabel: `Delete ${video.title}` }),
    ),
  ];
  const show = ({ videos }: TaughtCourse): void => {
    const none = el("p", {}, "There are no videos yet.");
    box.replaceChildren(videos.length > 0 ? table("Videos of this course", ["Video", "Length", "Chapters", "Change"], videos.map(row)) : none);
  };
  const elements = (changed: () => Promise<void>): HTMLElement[] => {
    refresh = form.changed = changed;
    return [box, said.element, form.element];
  };
  show(course);
  return { show, elements };
}

class VideoForm {
  readonly element: HTMLDetailsElement;
  changed: () => Promise<void> = () => Promise.resolve();
  readonly #client: LabsClient;
  readonly #course: string;
  readonly #said = new Said();
  readonly #result = el("div", { role: "status" });
  readonly #id = el("input", { required: true, spellcheck: false, autocapitalize: "off", pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}" });
  readonly #title = el("input", { required: true });
  readonly #place = el("input", { spellcheck: false, autocapitalize: "off", inputMode: "url" });
  readonly #language = el("input", { maxLength: 2 });
  readonly #transcript = el("textarea", { rows: 8, spellcheck: false });
  readonly #file = el("input", { type: "file", accept: ".vtt,.srt,.sbv,.txt", onchange: () => void this.#read() });
  #name: string | undefined;

  constructor(client: LabsClient, course: string) {
    this.#client = client;
    this.#course = course;
    const submit = (event: Event): void => {
      event.preventDefault();
      void this.#said.during(() => this.#save());
    };
    const form = el(
      "form",
      { onsubmit: submit },
      fields(
        field("Title", this.#title),
        field("Id", this.#id, "as week-1"),
        field("YouTube, or address of a file", this.#place, "optional"),
        field("Language", this.#language, "two letters; found out if empty"),
        field("Transcript: a file", this.#file, "VTT, SRT, SBV or text"),
        field("or pasted", this.#transcript, "as YouTube shows it beside the video, or lines as [4.8] text; empty: it stays as it is", true),
      ),
      actions(
        el("button", { className: "primary" }, "Save the video"),
        this.#said.button("Fetch the transcript from YouTube", () => this.#fetch()),
      ),
      this.#said.element,
      this.#result,
    );
    this.element = el("details", { className: "panel" }, el("summary", {}, "Add a video"), form);
  }

  /** Fill the form with a video that is there. */
  edit({ video, title, youtube, url, language }: Video): void {
    this.#id.value = video;
    this.#title.value = title;
    this.#place.value = youtube ?? url ?? "";
    this.#language.value = language;
    this.element.open = true;
    this.#transcript.focus();
  }

  async #read(): Promise<void> {
    const file = this.#file.files?.[0];
    if (!file) return;
    this.#name = file.name;
    const bytes = await file.arrayBuffer();
    this.#transcript.value = decoded(bytes);
    this.#title.value ||= file.name.replace(/\.\w+$/, "");
    this.#id.value ||= this.#title.value.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 64);
  }

  async #save(): Promise<string> {
    const place = this.#place.value.trim();
    const youtube = youtubeId(place);
    const language = this.#language.value.trim();
    const request: VideoRequest = {
      title: this.#title.value.trim(),
      ...(this.#transcript.value.trim() ? { transcript: this.#transcript.value } : {}),
      ...(youtube ? { youtube } : place ? { url: place } : {}),
      ...(language ? { language } : {}),
      ...(this.#name ? { name: this.#name } : {}),
    };
    const address = this.#client.at("teach/courses/{}/videos/{}", this.#course, this.#id.value.trim());
    const { segments, duration, chapters, notes } = await this.#client.send<Transcribed>("PUT", address, request);
    this.#result.replaceChildren(
      ...(notes.length > 0 ? [el("ul", {}, ...notes.map((note) => el("li", {}, note)))] : []),
      ...(chapters.length > 0 ? [el("ol", { role: "list" }, ...chapters.map(({ start, title }) => el("li", {}, `${clock(start)} ${title}`)))] : []),
    );
    await this.changed();
    return `Saved: ${count(segments, "segment")}, ${clock(duration)} long, ${count(chapters.length, "chapter")}.`;
  }

  async #fetch(): Promise<string> {
    const youtube = youtubeId(this.#place.value);
    const id = this.#id.value.trim();
    if (!youtube || !id) throw new Error("Give the video an id, and its address on YouTube.");
    const address = this.#client.at("teach/courses/{}/videos/{}/fetch", this.#course, id);
    const language = this.#language.value.trim();
    await this.#client.send("POST", address, { youtube, ...(language ? { language } : {}) });
    for (;;) {
      const { state, why } = await this.#client.get<Fetching>(address);
      if (state === "done") {
        await this.changed();
        return "The transcript was fetched.";
      }
      if (state === "failed") throw new Error(`${why ?? "It could not be fetched."} Paste or upload it instead.`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY));
    }
  }
}

/** A text file's text: UTF-8, UTF-16 with its mark, else Windows-1252. */
function decoded(bytes: ArrayBuffer): string {
  const mark = [...new Uint8Array(bytes.slice(0, 2))].join(" ");
  if (mark === "255 254") return new TextDecoder("utf-16le").decode(bytes);
  if (mark === "254 255") return new TextDecoder("utf-16be").decode(bytes);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}
