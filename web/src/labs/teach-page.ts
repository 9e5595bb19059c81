/** A teacher's courses, and one of them: videos, labs, matching, generation, import and export. */

import { el } from "../dom.js";
import type { Imported, TaughtCourse, TaughtCourses, TaughtLabEntry } from "../labs-wire.js";
import type { LabsClient } from "./client.js";
import { actions, field, fields, Said, select, table } from "./forms.js";
import { generatePanel } from "./generate.js";
import { count, placeOf } from "./lab-words.js";
import { matchPanel } from "./matching.js";
import { badge, cards, download, facts, head, link } from "./parts.js";
import { courseAddress, dashboardAddress, teachAddress } from "./places.js";
import { videoPanel } from "./teach-videos.js";

export async function teachCourses(client: LabsClient): Promise<Node[]> {
  const { courses } = await client.get<TaughtCourses>(client.at("teach/courses"));
  const items = courses.map(({ course, title, videos, labs, learners }) => [
    link(teachAddress(course), title),
    el("p", {}, [count(videos, "video"), count(labs, "lab"), count(learners, "learner")].join(", ")),
    link(dashboardAddress(course), "Dashboard", { ariaLabel: `Dashboard of ${title}` }),
  ]);
  return [el("h1", {}, "Your courses"), cards(items, "There are no courses yet. Make one below."), newCourse(client)];
}

function newCourse(client: LabsClient): HTMLElement {
  const said = new Said();
  const id = el("input", { required: true, pattern: "[a-z0-9][a-z0-9._\\-]{0,63}", spellcheck: false, autocapitalize: "off" });
  const title = el("input", { required: true });
  const language = el("input", { value: "en", maxLength: 2 });
  const make = async (): Promise<void> => {
    const name = id.value.trim();
    await client.send("PUT", client.at("teach/courses/{}", name), { title: title.value.trim(), language: language.value.trim() });
    location.assign(teachAddress(name));
  };
  const submit = (event: Event): void => {
    event.preventDefault();
    void said.during(make);
  };
  return el(
    "form",
    { className: "panel", onsubmit: submit },
    el("h2", {}, "New course"),
    fields(field("Title", title), field("Id", id, "small letters, digits, - and ."), field("Language", language, "two letters")),
    actions(el("button", { className: "primary" }, "Make the course")),
    said.element,
  );
}

export async function teachCourse(client: LabsClient, id: string): Promise<Node[]> {
  const get = (): Promise<TaughtCourse> => client.get<TaughtCourse>(client.at("teach/courses/{}", id));
  const course = await get();
  const labs = el("div", {}, ...labTable(course));
  const videos = videoPanel(client, course);
  /** Show what has changed. */
  const refresh = async (): Promise<void> => {
    const now = await get();
    labs.replaceChildren(...labTable(now));
    videos.show(now);
  };
  return [
    head(
      link(teachAddress(), "Your courses"),
      course.title,
      facts(link(courseAddress(id), "As learners see it"), " · ", link(dashboardAddress(id), "Dashboard")),
    ),
    el("h2", {}, "Labs"),
    labs,
    matchPanel(client, get),
    generatePanel(client, course, refresh),
    el("h2", {}, "Videos"),
    ...videos.elements(refresh),
    el("h2", {}, "Course"),
    exchangePanel(client, id, refresh),
    coursePanel(client, course),
  ];
}

function labTable({ course, labs, videos }: TaughtCourse): Node[] {
  const write = el("p", {}, link(teachAddress(course, "new"), "Write a lab"));
  if (labs.length === 0) return [el("p", {}, "There are no labs yet. Generate or import some, or write one."), write];
  const rows = labs.map((lab) => [
    link(teachAddress(course, lab.lab), lab.title),
    standing(lab),
    lab.moments.map((moment) => placeOf(moment, videos)).join("; ") || "–",
  ]);
  return [table("Labs of this course", ["Lab", "Status", "In the videos"], rows), write];
}

/** Badges: the status, and whether it was verified. */
export function standing({ status, verified, version }: Pick<TaughtLabEntry, "status" | "verified" | "version">): HTMLElement {
  const proof = verified ? badge("verified", "good") : badge("not verified", "wrong");
  const said = el("span", { className: "facts" }, `version ${version}`);
  return el("span", {}, badge(status, status === "published" ? "good" : ""), " ", proof, " ", said);
}

function exchangePanel(client: LabsClient, id: string, refresh: () => Promise<void>): HTMLElement {
  const said = new Said();
  const formats = [
    ["json", "JSON"],
    ["coderunner", "CodeRunner (Moodle XML)"],
    ["nbgrader", "nbgrader"],
  ] as const;
  const from = select([...formats, ["exercism", "Exercism"]]);
  const to = select(formats);
  const file = el("input", { type: "file" });
  const take = async (): Promise<string> => {
    const chosen = file.files?.[0];
    if (!chosen) throw new Error("Choose a file first.");
    const address = client.at("teach/courses/{}/import", id);
    address.searchParams.set("format", from.value);
    const headers = { "Content-Type": "application/octet-stream" };
    const { labs, notes } = (await (await client.ask(address, { method: "POST", body: chosen, headers })).json()) as Imported;
    await refresh();
    return [`${count(labs.length, "lab")}: ${labs.join(", ")}.`, ...notes].join(" ");
  };
  const give = async (): Promise<string> => {
    const address = client.at("teach/courses/{}/export", id);
    address.searchParams.set("format", to.value);
    const answer = await client.ask(address);
    const ending = { json: "json", coderunner: "xml", nbgrader: "zip" }[to.value] ?? "bin";
    const named = /filename="?([^";]+)"?/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1];
    download(await answer.blob(), named ?? `${id}.${ending}`);
    return "Downloaded.";
  };
  return el(
    "details",
    { className: "panel" },
    el("summary", {}, "Import and export"),
    fields(field("File", file), field("Format of the file", from)),
    actions(said.button("Import", take)),
    fields(field("Export as", to)),
    actions(said.button("Export", give)),
    said.element,
  );
}

function coursePanel(client: LabsClient, { course, title, language }: TaughtCourse): HTMLElement {
  const said = new Said();
  const name = el("input", { value: title, required: true });
  const tongue = el("input", { value: language, maxLength: 2 });
  const save = async (): Promise<string> => {
    await client.send("PUT", client.at("teach/courses/{}", course), { title: name.value.trim(), language: tongue.value.trim() });
    return "Saved.";
  };
  const erase = async (): Promise<string | void> => {
    if (prompt(`Delete the course, its videos, its labs, and what learners did? Type “${course}”:`) !== course) return "Nothing was deleted.";
    const address = client.at("teach/courses/{}", course);
    address.searchParams.set("confirm", course);
    await client.send("DELETE", address);
    location.assign(teachAddress());
  };
  const forget = el("input", { spellcheck: false, autocapitalize: "off" });
  const forgetting = async (): Promise<string> => {
    const learner = forget.value.trim();
    if (!learner) throw new Error("Say which learner.");
    if (!confirm(`Delete all that is kept of ${learner}? This cannot be undone.`)) return "Nothing was deleted.";
    await client.send("DELETE", client.at("teach/learners/{}", learner));
    return `Nothing is kept of ${learner} any more.`;
  };
  return el(
    "details",
    { className: "panel" },
    el("summary", {}, "Name, and deletion"),
    fields(field("Title", name), field("Language", tongue)),
    actions(said.button("Save", save), said.button("Delete the course", erase)),
    fields(field("Learner", forget, "as the dashboard calls them")),
    actions(said.button("Delete the learner’s data", forgetting)),
    said.element,
  );
}
