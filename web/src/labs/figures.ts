/** Figures of a course for its teacher: who needs help, where labs lose learners, why, and how fast it goes. */

import { el } from "../dom.js";
import type { AttentionRow, ErrorRow, LabRow, PaceRow, Rows, SegmentRow, TaughtCourse, TaughtCourses } from "../labs-wire.js";
import type { LabsClient } from "./client.js";
import { clock, linkTo, timeOfDay } from "./clock.js";
import { table } from "./forms.js";
import { count, titleOf } from "./lab-words.js";
import { paceChart } from "./pace.js";
import { cards, download, head, link, outside, source } from "./parts.js";
import { dashboardAddress, teachAddress } from "./places.js";

const NOBODY =
  "Nobody, as far as these rules see: five failed submissions of one lab, the same error four times in a row, " +
  "a week of silence, less than half of the usual pace.";

type Kind = "attention" | "labs" | "errors" | "segments" | "pace";

export async function chooseCourse(client: LabsClient): Promise<Node[]> {
  const { courses } = await client.get<TaughtCourses>(client.at("teach/courses"));
  const items = courses.map(({ course, title, learners }) => [link(dashboardAddress(course), title), el("p", {}, count(learners, "learner"))]);
  return [el("h1", {}, "Dashboard"), cards(items, "There are no courses yet.")];
}

export async function dashboard(client: LabsClient, id: string): Promise<Node[]> {
  const rows = <R>(kind: Kind): Promise<R[]> => client.get<Rows<R>>(addressOf(client, id, kind)).then((answer) => answer.rows);
  const [course, attention, labs, errors, segments, pace] = await Promise.all([
    client.get<TaughtCourse>(client.at("teach/courses/{}", id)),
    rows<AttentionRow>("attention"),
    rows<LabRow>("labs"),
    rows<ErrorRow>("errors"),
    rows<SegmentRow>("segments"),
    rows<PaceRow>("pace"),
  ]);
  const part = (kind: Kind, title: string, ...content: Node[]): HTMLElement => section(client, id, kind, title, content);
  return [
    head(link(teachAddress(id), course.title), `Dashboard: ${course.title}`),
    part("attention", "Who needs you now", attentionPart(course, attention)),
    part("labs", "Labs", labsPart(course, labs)),
    part("errors", "What goes wrong", errorsPart(course, errors)),
    part("segments", "Explanations that are missing", segmentsPart(course, segments)),
    part("pace", "Pace", ...pacePart(pace)),
  ];
}

function addressOf(client: LabsClient, course: string, kind: Kind): URL {
  return client.at("teach/courses/{}/analytics/{}", course, kind);
}

/** A part, and its figures as CSV. */
function section(client: LabsClient, course: string, kind: Kind, title: string, content: Node[]): HTMLElement {
  const address = addressOf(client, course, kind);
  address.searchParams.set("format", "csv");
  const problem = el("span", { className: "bad", role: "alert" });
  const take = async (event: Event): Promise<void> => {
    event.preventDefault(); // the link alone does not say who asks
    problem.textContent = "";
    try {
      download(await (await client.ask(address)).blob(), `${course}-${kind}.csv`);
    } catch (error) {
      problem.textContent = (error as Error).message;
    }
  };
  const table = link(address.href, "CSV", { download: "", ariaLabel: `${title}, as CSV`, onclick: (event: Event) => void take(event) });
  const top = el("div", { className: "section-head" }, el("h2", {}, title), el("span", {}, table, " ", problem));
  return el("section", { ariaLabel: title }, top, ...content);
}

function attentionPart(course: TaughtCourse, rows: readonly AttentionRow[]): HTMLElement {
  if (rows.length === 0) return el("p", {}, NOBODY);
  const cells = rows.map(({ learner, lab, why, since }) => [
    learner,
    lab === null ? "–" : labTitle(course, lab),
    el("span", { className: "why" }, why),
    timeOfDay(since),
  ]);
  return table("Who needs you now", ["Learner", "Lab", "Why", "Since"], cells);
}

function labTitle({ labs }: TaughtCourse, id: string): string {
  return labs.find(({ lab }) => lab === id)?.title ?? id;
}

function labsPart(course: TaughtCourse, rows: readonly LabRow[]): HTMLElement {
  if (rows.length === 0) return el("p", {}, "Nobody has opened a lab yet.");
  const cells = rows.map(({ lab, title, opened, ran, submitted, passed, attempts, minutes, lastHint, left }) => [
    link(teachAddress(course.course, lab), title),
    barCell(passed, opened),
    String(opened),
    String(ran),
    String(submitted),
    number(attempts),
    number(minutes),
    share(lastHint),
    share(left),
  ]);
  return table("Labs", ["Lab", "Passed", "Opened", "Ran", "Submitted", "Attempts", "Minutes", "Took the last hint", "Left within a minute"], cells);
}

const SVG = "http://www.w3.org/2000/svg";

/** "3 of 5", and a bar of it. */
function barCell(part: number, all: number): HTMLTableCellElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 100 8");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  for (const [name, width] of [["rest", 100], ["part", all > 0 ? (100 * part) / all : 0]] as const) {
    const bar = document.createElementNS(SVG, "rect");
    bar.setAttribute("class", name);
    bar.setAttribute("width", String(width));
    bar.setAttribute("height", "8");
    svg.append(bar);
  }
  return el("td", { className: "bar-cell" }, `${part} of ${all}`, svg);
}

function number(value: number | null): string {
  return value === null ? "–" : String(Math.round(10 * value) / 10);
}

/** A share of 1; of too few learners there is none. */
function share(value: number | null): string {
  return value === null ? "–" : `${Math.round(100 * value)} %`;
}

function errorsPart(course: TaughtCourse, rows: readonly ErrorRow[]): HTMLElement {
  if (rows.length === 0) return el("p", {}, "Nothing has gone wrong yet.");
  const cells = rows.map(({ lab, error, test, count: times, programs }) => {
    const title = labTitle(course, lab);
    return [title, error.replaceAll("_", " "), test || "–", String(times), programsOf(programs, `${title}, ${error}`)];
  });
  return table("What goes wrong", ["Lab", "Error", "First test that fails", "Times", "Programs"], cells);
}

function programsOf(programs: readonly string[], of: string): HTMLElement {
  if (programs.length === 0) return el("span", {}, "–");
  const texts = programs.map((code, at) => source(code, `Program ${at + 1}: ${of}`));
  return el("details", {}, el("summary", {}, count(programs.length, "program")), ...texts);
}

function segmentsPart({ videos }: TaughtCourse, rows: readonly SegmentRow[]): HTMLElement {
  if (rows.length === 0) return el("p", {}, "Nobody has gone back to a video after a failure yet.");
  const cells = rows.map(({ video, start, end, clicks, passedAfter }) => {
    const place = `${titleOf(video, videos)}, ${clock(start)}–${clock(end)}`;
    const about = videos.find((each) => each.video === video);
    return [outside(about ? linkTo(about, start) : null, place), String(clicks), number(passedAfter)];
  });
  return table("Explanations that are missing", ["Place", "Looked at after a failure", "Passed within 10 minutes"], cells);
}

function pacePart(rows: readonly PaceRow[]): Node[] {
  if (rows.length === 0) return [el("p", {}, "There is nothing to show yet.")];
  const cells = rows.map(({ day, passed, active }) => [day, String(passed), String(active)]);
  return [paceChart(rows), el("details", {}, el("summary", {}, "As a table"), table("Pace", ["Day", "Labs passed", "Active learners"], cells))];
}
