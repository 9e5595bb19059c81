/** Labs in a learner's words. */

import type { LabKind, LabState, Moment, Video } from "../labs-wire.js";
import { clock } from "./clock.js";

const KINDS: Record<LabKind, string> = {
  write: "Write a program",
  repair: "Find the mistake",
  fill: "Fill the gaps",
  order: "Put lines in order",
  predict: "Say what it prints",
};
const DIFFICULTIES = ["", "easy", "medium", "hard"];
const STATES: Record<LabState, string> = { new: "Not begun", begun: "Begun", passed: "Passed" };

export function kindOf(kind: LabKind): string {
  return KINDS[kind] ?? kind; // a newer service may have more of them
}

export function difficultyOf(difficulty: number): string {
  return DIFFICULTIES[difficulty] ?? "";
}

export function stateOf(state: LabState): string {
  return STATES[state] ?? state;
}

/** "Lists, 3:05" */
export function placeOf({ video, start }: Pick<Moment, "video" | "start">, videos: readonly Video[]): string {
  return `${titleOf(video, videos)}, ${clock(start)}`;
}

export function titleOf(video: string, videos: readonly Video[]): string {
  return videos.find((each) => each.video === video)?.title ?? video;
}

/** "1 lab", "3 labs" */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}
