/** Where labs belong in the videos, with the words that say so, and a teacher's pins. */

import { el } from "../dom.js";
import type { Evaluation, Match, Matches, Moment, TaughtCourse, Video } from "../labs-wire.js";
import type { LabsClient } from "./client.js";
import { clock, linkTo, secondsOf } from "./clock.js";
import { actions, field, fields, Said, select } from "./forms.js";
import { count, titleOf } from "./lab-words.js";
import { badge, outside } from "./parts.js";

/** All labs of a course at once, in their order. */
export function matchPanel(client: LabsClient, get: () => Promise<TaughtCourse>): HTMLElement {
  const said = new Said();
  const found = el("div", {});
  const match = async (): Promise<string> => {
    const course = await get();
    const { matches } = await client.send<Matches>("POST", client.at("teach/courses/{}/match", course.course), { all: true });
    const sections = course.labs.map(({ lab, title }) => {
      const own = matches.filter((each) => each.lab === lab);
      return el("section", { ariaLabel: title }, el("h3", {}, title), matchList(client, course, lab, own));
    });
    found.replaceChildren(...sections);
    return `${matches.filter(({ confident }) => confident).length} of ${course.labs.length} labs have a good match.`;
  };
  const words = async (): Promise<string> => {
    const { course } = await get();
    const { pins, recallAt1, recallAt3 } = await client.get<Evaluation>(client.at("teach/courses/{}/evaluate", course));
    if (pins === 0) return "There are no pins to compare with.";
    const share = (value: number): string => `${Math.round(100 * value)} %`;
    return `Of ${count(pins, "pin")} the first match is right for ${share(recallAt1)}, one of the first three for ${share(recallAt3)}.`;
  };
  const buttons = actions(said.button("Match all labs", match), said.button("How good is it by your pins?", words));
  return el("details", { className: "panel" }, el("summary", {}, "Match labs with the videos"), buttons, said.element, found);
}

/** One lab: its pins and its best places. */
export function matchOfLab(client: LabsClient, course: TaughtCourse, lab: string, moments: readonly Moment[]): HTMLElement {
  const said = new Said();
  const found = el("div", {});
  const match = async (): Promise<string> => {
    const { matches, confident } = await client.send<Matches>("POST", client.at("teach/courses/{}/match", course.course), { lab });
    found.replaceChildren(matchList(client, course, lab, matches));
    return confident ? "" : "There is no good match. Pin the place yourself, if there is one.";
  };
  const pins = moments.filter(({ by }) => by === "teacher").map((moment) => {
    const drop = async (): Promise<string> => {
      await client.send("DELETE", pinOf(client, course.course, lab, moment.video));
      item.remove();
      return "The pin is gone.";
    };
    const item = el("li", {}, `Pinned: ${titleOf(moment.video, course.videos)}, ${clock(moment.start)} `, said.button("Remove the pin", drop));
    return item;
  });
  return el(
    "section",
    { ariaLabel: "In the videos" },
    el("h2", {}, "In the videos"),
    el("ul", { role: "list" }, ...pins),
    actions(said.button("Find the place", match)),
    said.element,
    found,
    ownPin(client, course, lab),
  );
}

function matchList(client: LabsClient, course: TaughtCourse, lab: string, matches: readonly Match[]): HTMLElement {
  if (matches.length === 0) return el("p", {}, "No good match.");
  return el("ol", { className: "findings", role: "list" }, ...matches.map((match) => matchItem(client, course, lab, match)));
}

function matchItem(client: LabsClient, course: TaughtCourse, lab: string, match: Match): HTMLElement {
  const { video, start, end, words, confident } = match;
  const said = new Said();
  const about: Video | undefined = course.videos.find((each) => each.video === video);
  const place = `${titleOf(video, course.videos)}, ${clock(start)}${end === null ? "" : `–${clock(end)}`}`;
  const pin = async (): Promise<string> => {
    await client.send("PUT", pinOf(client, course.course, lab, video), { start, ...(end === null ? {} : { end }) });
    return "Pinned.";
  };
  return el(
    "li",
    {},
    outside(about ? linkTo(about, start) : null, place),
    " ",
    confident ? badge("good match", "good") : badge("no good match"),
    " ",
    said.button("Pin", pin, { ariaLabel: `Pin ${place}` }),
    el("p", { className: "words" }, words.length > 0 ? `Words: ${words.join(", ")}` : "No words in common."),
    said.element,
  );
}

function ownPin(client: LabsClient, course: TaughtCourse, lab: string): HTMLElement {
  if (course.videos.length === 0) return el("p", {}, "Add a video to the course to pin a place in it.");
  const said = new Said();
  const video = select(course.videos.map((each) => [each.video, each.title] as const));
  const start = el("input", { placeholder: "3:05", inputMode: "text" });
  const end = el("input", { placeholder: "4:10", inputMode: "text" });
  const pin = async (): Promise<string> => {
    const from = secondsOf(start.value);
    const to = end.value.trim() ? secondsOf(end.value) : undefined;
    if (from === null || to === null) throw new Error("Write times as 3:05.");
    await client.send("PUT", pinOf(client, course.course, lab, video.value), { start: from, ...(to === undefined ? {} : { end: to }) });
    return `Pinned: ${titleOf(video.value, course.videos)}, ${clock(from)}.`;
  };
  return el(
    "details",
    {},
    el("summary", {}, "Pin another place"),
    fields(field("Video", video), field("From", start), field("To", end, "optional")),
    actions(said.button("Pin this place", pin)),
    said.element,
  );
}

function pinOf(client: LabsClient, course: string, lab: string, video: string): URL {
  return client.at("teach/courses/{}/labs/{}/pins/{}", course, lab, video);
}
