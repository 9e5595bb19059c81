/** The list of courses, and one course: its videos with chapters, and its labs. */

import { el } from "../dom.js";
import type { Course, Courses, LabEntry, Video } from "../labs-wire.js";
import type { LabsClient } from "./client.js";
import { clock } from "./clock.js";
import { Happenings } from "./happenings.js";
import { count, difficultyOf, kindOf, placeOf, stateOf } from "./lab-words.js";
import { courseAddress, labAddress } from "./places.js";
import { browserStore, forgetLearner } from "./shelf.js";
import { TryNow } from "./try-now.js";
import { VideoBox } from "./video.js";

export async function coursesPage(client: LabsClient): Promise<Node[]> {
  const { courses } = await client.get<Courses>(client.at("courses"));
  const items = courses.map(({ course, title, labs, passed }) =>
    el(
      "li",
      { className: "card" },
      el("a", { href: courseAddress(course) }, title),
      el("p", {}, labs === 0 ? "no labs yet" : `${passed} of ${count(labs, "lab")} passed`),
      el("progress", { max: Math.max(1, labs), value: passed, ariaLabel: `Passed in ${title}` }),
    ),
  );
  const list = courses.length > 0 ? el("ul", { className: "cards", role: "list" }, ...items) : el("p", {}, "There are no courses yet.");
  return [el("h1", {}, "Courses"), list, ownData(client)];
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
    if (!confirm("Delete all that the service and this browser keep of you: programs, submissions and what you passed? This cannot be undone.")) return;
    await client.send("DELETE", client.at("me"));
    forgetLearner(browserStore(), client.who);
    location.reload();
  };
  const button = (text: string, action: () => Promise<void>): HTMLElement =>
    el("button", { type: "button", onclick: () => void action().catch((error: unknown) => (said.textContent = (error as Error).message)) }, text);
  return el(
    "details",
    { className: "own-data" },
    el("summary", {}, "Your data"),
    el("p", {}, "The service keeps your programs, what you submitted, and when you opened a lab, took a hint or looked into a video. It does not know your name."),
    el("p", {}, button("Download it", take), " ", button("Delete it", erase)),
    said,
  );
}

/** Give the reader a file. */
export function download(content: Blob, name: string): void {
  const address = URL.createObjectURL(content);
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

export async function coursePage(client: LabsClient, id: string): Promise<Node[]> {
  const course = await client.get<Course>(client.at("courses/{}", id));
  const { title, videos, labs } = course;
  const passed = labs.filter(({ state }) => state === "passed").length;
  const list = el("ol", { className: "lab-list", role: "list" }, ...labs.map((lab) => labItem(course, lab)));
  return [
    el("div", { className: "lab-head" }, el("p", { className: "up" }, el("a", { href: "labs" }, "Courses")), el("h1", {}, title), el("p", { className: "facts" }, `${passed} of ${count(labs.length, "lab")} passed`)),
    el(
      "div",
      { className: "course" },
      el("section", { ariaLabel: "Labs" }, el("h2", {}, "Labs"), labs.length > 0 ? list : el("p", {}, "There are no labs yet.")),
      ...(videos.length > 0 ? [videoSection(client, course)] : []),
    ),
  ];
}

function labItem({ course, videos }: Course, { lab, title, summary, difficulty, kind, state, moments }: LabEntry): HTMLElement {
  const [moment] = moments;
  const facts = [kindOf(kind), difficultyOf(difficulty), moment ? placeOf(moment, videos) : ""].filter(Boolean).join(" · ");
  return el(
    "li",
    { className: `lab-entry ${state}` },
    el("div", {}, el("a", { href: labAddress(course, lab) }, title), ...(summary ? [el("p", {}, summary)] : []), el("p", { className: "facts" }, facts)),
    el("span", { className: "badge" }, stateOf(state)),
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
    const chapters = video.chapters.map(({ start, title }) =>
      el("li", {}, el("button", { type: "button", onclick: () => play(video, start) }, el("span", { className: "time" }, clock(start)), " ", title)),
    );
    return el(
      "li",
      {},
      el("button", { type: "button", className: "video-name", onclick: () => play(video, 0) }, video.title, " ", el("span", { className: "time" }, clock(video.duration))),
      ...(chapters.length > 0 ? [el("ol", { className: "chapters", role: "list", ariaLabel: `Chapters of ${video.title}` }, ...chapters)] : []),
    );
  });
  const [first] = course.videos;
  if (first) show(first);
  return el("section", { className: "videos", ariaLabel: "Videos" }, el("h2", {}, "Videos"), screen, tryNow.element, el("ol", { className: "video-list", role: "list" }, ...items));
}
