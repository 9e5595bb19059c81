/** A teacher's courses, and one of them: videos, labs, matching, generation, import and export. */

import { el } from "../dom.js";
import type { Imported, TaughtCourse, TaughtCourses, TaughtLabEntry } from "../labs-wire.js";
import type { LabsClient } from "./client.js";
import { download } from "./courses-page.js";
import { field, Said, select, table } from "./forms.js";
import { generatePanel } from "./generate.js";
import { count, placeOf } from "./lab-words.js";
import { matchPanel } from "./matching.js";
import { courseAddress, dashboardAddress, teachAddress } from "./places.js";
import { videoPanel } from "./teach-videos.js";

export async function teachCourses(client: LabsClient): Promise<Node[]> {
  const { courses } = await client.get<TaughtCourses>(client.at("teach/courses"));
  const items = courses.map(({ course, title, videos, labs, learners }) =>
    el(
      "li",
      { className: "card" },
      el("a", { href: teachAddress(course) }, title),
      el("p", {}, [count(videos, "video"), count(labs, "lab"), count(learners, "learner")].join(", ")),
      el("a", { href: dashboardAddress(course), ariaLabel: `Dashboard of ${title}` }, "Dashboard"),
    ),
  );
  return [
    el("h1", {}, "Your courses"),
    items.length > 0 ? el("ul", { className: "cards", role: "list" }, ...items) : el("p", {}, "There are no courses yet. Make one below."),
    newCourse(client),
  ];
}

function newCourse(client: LabsClient): HTMLElement {
  const said = new Said();
  const id = el("input", { required: true, pattern: "[a-z0-9][a-z0-9._\\-]{0,63}", spellcheck: false, autocapitalize: "off" });
  const title = el("input", { required: true });
  const language = el("input", { value: "en", maxLength: 2 });
  const make = async (): Promise<void> => {
    await client.send("PUT", client.at("teach/courses/{}", id.value.trim()), { title: title.value.trim(), language: language.value.trim() });
    location.assign(teachAddress(id.value.trim()));
  };
  const submit = (event: Event): void => {
    event.preventDefault();
    void said.during(make);
  };
  return el(
    "form",
    { className: "panel", onsubmit: submit },
    el("h2", {}, "New course"),
    el("div", { className: "fields" }, field("Title", title), field("Id", id, "small letters, digits, - and ."), field("Language", language, "two letters")),
    el("div", { className: "actions" }, el("button", { className: "primary" }, "Make the course")),
    said.element,
  );
}

export async function teachCourse(client: LabsClient, id: string): Promise<Node[]> {
  const course = await client.get<TaughtCourse>(client.at("teach/courses/{}", id));
  return [
    el(
      "div",
      { className: "lab-head" },
      el("p", { className: "up" }, el("a", { href: teachAddress() }, "Your courses")),
      el("h1", {}, course.title),
      el("p", { className: "facts" }, el("a", { href: courseAddress(id) }, "As learners see it"), " · ", el("a", { href: dashboardAddress(id) }, "Dashboard")),
    ),
    el("h2", {}, "Labs"),
    labTable(course),
    matchPanel(client, course),
    generatePanel(client, course),
    el("h2", {}, "Videos"),
    videoPanel(client, course),
    el("h2", {}, "Course"),
    exchangePanel(client, id),
    coursePanel(client, course),
  ];
}

function labTable({ course, labs, videos }: TaughtCourse): HTMLElement {
  if (labs.length === 0) return el("p", {}, "There are no labs yet. Generate or import some, or ", el("a", { href: teachAddress(course, "new") }, "write one"), ".");
  const rows = labs.map((lab) => [
    el("a", { href: teachAddress(course, lab.lab) }, lab.title),
    standing(lab),
    lab.moments.map((moment) => placeOf(moment, videos)).join("; ") || "–",
  ]);
  return el("div", {}, table("Labs of this course", ["Lab", "Status", "In the videos"], rows), el("p", { className: "actions" }, el("a", { href: teachAddress(course, "new") }, "Write a lab")));
}

/** Badges: the status, and whether it was verified. */
export function standing({ status, verified, version }: Pick<TaughtLabEntry, "status" | "verified" | "version">): HTMLElement {
  const proof = el("span", { className: verified ? "badge good" : "badge wrong" }, verified ? "verified" : "not verified");
  return el("span", {}, el("span", { className: status === "published" ? "badge good" : "badge" }, status), " ", proof, " ", el("span", { className: "facts" }, `version ${version}`));
}

function exchangePanel(client: LabsClient, id: string): HTMLElement {
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
    const answer = await client.ask(address, { method: "POST", body: chosen, headers: { "Content-Type": chosen.type || "application/octet-stream" } });
    const { labs, notes } = (await answer.json()) as Imported;
    return `${count(labs.length, "lab")}: ${labs.join(", ")}. ${notes.join(" ")} Load this page again to see ${labs.length === 1 ? "it" : "them"}.`;
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
    el("div", { className: "fields" }, field("File", file), field("Format of the file", from)),
    el("div", { className: "actions" }, said.button("Import", take)),
    el("div", { className: "fields" }, field("Export as", to)),
    el("div", { className: "actions" }, said.button("Export", give)),
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
    el("div", { className: "fields" }, field("Title", name), field("Language", tongue)),
    el("div", { className: "actions" }, said.button("Save", save), said.button("Delete the course", erase)),
    el("div", { className: "fields" }, field("Learner", forget, "as your platform calls them")),
    el("div", { className: "actions" }, said.button("Delete the learner’s data", forgetting)),
    said.element,
  );
}
