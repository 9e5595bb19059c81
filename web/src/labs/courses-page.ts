/** The list of courses, and one course: its videos with chapters, and its labs. */

import { el } from "../dom.js";
import type { Course, Courses, LabEntry, Video } from "../labs-wire.js";
import type { LabsClient } from "./client.js";
import { clock } from "./clock.js";
import { Happenings } from "./happenings.js";
import { count, difficultyOf, kindOf, placeOf, stateOf } from "./lab-words.js";
import { badge, button, cards, download, facts, head, link, list } from "./parts.js";
import { courseAddress, labAddress } from "./places.js";
import { browserStore, forgetLearner } from "./shelf.js";
import { TryNow } from "./try-now.js";
import { VideoBox } from "./video.js";

export async function coursesPage(client: LabsClient): Promise<Node[]> {
  const { courses } = await client.get<Courses>(client.at("courses"));
  const items = courses.map(({ course, title, labs, passed }) => [
    link(courseAddress(course), title),
    el("p", {}, labs === 0 ? "no labs yet" : `${passed} of ${count(labs, "lab")} passed`),
    el("progress", { max: Math.max(1, labs), value: passed, ariaLabel: `Passed in ${title}` }),
  ]);
  return [el("h1", {}, "Courses"), cards(items, "There are no courses yet."), ownData(client)];
}

/** What a learner may have, and may have deleted. */
function ownData(client: LabsClient): HTMLElement {
  const said = el("p", { role: "status" });
  const take = async (): Promise<void> => {
    const answer = await client.ask(client.at("me/export"));
    download(await answer.blob(), "my-labs.zip");
    said.textContent = "Downloaded.";
  };
  const erase = async (): Promise<void> => {
    if (!confirm("Delete all that the service and this browser keep of you: programs, submissions, what you passed? This cannot be undone.")) return;
    await client.send("DELETE", client.at("me"));
    forgetLearner(browserStore(), client.who);
    location.reload();
  };
  const doing = (text: string, action: () => Promise<void>): HTMLElement =>
    button(text, () => void action().catch((error: unknown) => (said.textContent = (error as Error).message)));
  return el(
    "details",
    { className: "own-data" },
    el("summary", {}, "Your data"),
    el(
      "p",
      {},
      "The service keeps your programs, what you submitted, and when you opened a lab, took a hint or looked into a video. ",
      "It does not know your name.",
    ),
    el("p", {}, doing("Download it", take), " ", doing("Delete it", erase)),
    said,
  );
}

export async function coursePage(client: LabsClient, id: string): Promise<Node[]> {
  const course = await client.get<Course>(client.at("courses/{}", id));
  const { title, videos, labs } = course;
  const passed = labs.filter(({ state }) => state === "passed").length;
  const items = list("lab-list", labs.map((lab) => labItem(course, lab)));
  return [
    head(link("labs", "Courses"), title, facts(`${passed} of ${count(labs.length, "lab")} passed`)),
    el(
      "div",
      { className: "course" },
      el("section", { ariaLabel: "Labs" }, el("h2", {}, "Labs"), labs.length > 0 ? items : el("p", {}, "There are no labs yet.")),
      ...(videos.length > 0 ? [videoSection(client, course)] : []),
    ),
  ];
}

function labItem({ course, videos }: Course, { lab, title, summary, difficulty, kind, state, moments }: LabEntry): HTMLElement {
  const [moment] = moments;
  const said = [kindOf(kind), difficultyOf(difficulty), moment ? placeOf(moment, videos) : ""].filter(Boolean).join(" · ");
  return el(
    "li",
    { className: `lab-entry ${state}` },
    el("div", {}, link(labAddress(course, lab), title), ...(summary ? [el("p", {}, summary)] : []), facts(said)),
    badge(stateOf(state)),
  );
}

function videoSection(client: LabsClient, course: Course): HTMLElement {
  const happenings = new Happenings(client, course.course);
  addEventListener("pagehide", () => happenings.tell(true));
  const tryNow = new TryNow(client, course.course);
  const screen = el("div", { className: "lab-video" });
  const boxes = new Map<string, VideoBox>();
  const show = (video: Video): VideoBox => {
    for (const [id, other] of boxes) if (id !== video.video) other.pause();
    const known = boxes.get(video.video);
    const box =
      known ??
      new VideoBox(video, 0, {
        said: () => client.said(course.course, video.video),
        at: (second) => void tryNow.at(video.video, second),
        went: (second) => happenings.note("seek", null, { video: video.video, to: Math.round(second) }),
      });
    boxes.set(video.video, box);
    if (screen.firstElementChild !== box.element) screen.replaceChildren(box.element);
    return box;
  };
  const play = (video: Video, second: number): void => {
    show(video).seek(second);
    screen.scrollIntoView({ block: "nearest" });
  };
  const items = course.videos.map((video) => {
    const chapters = video.chapters.map(({ start, title }) => el("li", {}, timed(clock(start), title, () => play(video, start))));
    return el(
      "li",
      {},
      timed(clock(video.duration), video.title, () => play(video, 0), "video-name"),
      ...(chapters.length > 0 ? [list("chapters", chapters, { ariaLabel: `Chapters of ${video.title}` })] : []),
    );
  });
  const [first] = course.videos;
  if (first) show(first);
  return el("section", { ariaLabel: "Videos" }, el("h2", {}, "Videos"), screen, tryNow.element, list("video-list", items));
}

/** A button that plays something: its time, and what it is. */
function timed(time: string, title: string, onclick: () => void, className = ""): HTMLElement {
  return el("button", { type: "button", className, onclick }, el("span", { className: "time" }, time), " ", title);
}
