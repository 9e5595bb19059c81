/** The JSON of /api/labs/v1, as far as the pages read and write it. */

import type { Grade } from "./wire.js";

export type LabState = "new" | "begun" | "passed";

export interface CourseEntry {
  course: string;
  title: string;
  labs: number;
  passed: number;
}

export interface Courses {
  courses: CourseEntry[];
}

export interface Chapter {
  /** Seconds. */
  start: number;
  title: string;
}

export interface Video {
  video: string;
  title: string;
  /** The id of a video on YouTube. */
  youtube: string | null;
  /** The address of a file. */
  url: string | null;
  language: string;
  /** Seconds. */
  duration: number;
  chapters: Chapter[];
}

/** A place of a video that a lab belongs to. */
export interface Moment {
  video: string;
  start: number;
  end: number | null;
  by: "auto" | "teacher";
  /** Why it matched. */
  words: string[];
}

export interface LabEntry {
  lab: string;
  title: string;
  summary: string;
  difficulty: number;
  concepts: string[];
  kind: LabKind;
  version: number;
  state: LabState;
  moments: Moment[];
}

export type LabKind = "write" | "repair" | "fill" | "order" | "predict";

export interface Course {
  course: string;
  title: string;
  language: string;
  videos: Video[];
  labs: LabEntry[];
}

/** What is said in a video, from second to second. */
export interface Segments {
  segments: { start: number; end: number; text: string }[];
}

export interface Suggestion {
  lab: string;
  title: string;
  start: number;
  end: number | null;
  by: "auto" | "teacher";
  words: string[];
}

export interface Suggestions {
  labs: Suggestion[];
}

/** What the service keeps of a learner's program. */
export interface KeptDraft {
  code: string;
  revision: number;
  /** When, in ISO 8601. */
  saved: string;
}

export type Saved = Pick<KeptDraft, "revision" | "saved">;

export interface GivenHint {
  number: number;
  text: string;
}

export interface LabFile {
  path: string;
  content: string;
}

/** As much of a test as a learner may see. */
export interface TestView {
  id: string;
  name: string | null;
  group: string | null;
  weight: number;
  visibility: string;
  kind: string;
  stdin?: string;
  args?: string[];
  /** As it is written: `double(2)`. */
  call?: string;
  expected?: string | null;
}

export interface Completion {
  firstAt: string;
  attempts: number;
  seconds: number;
  hints: number;
}

export interface LabView {
  lab: string;
  version: number;
  title: string;
  summary: string;
  goals: string[];
  concepts: string[];
  difficulty: number;
  language: string;
  kind: LabKind;
  policy: string;
  task: string;
  starter: string;
  files: LabFile[];
  /** How many there are. */
  hints: number;
  /** Those that were taken. */
  given: GivenHint[];
  tests: TestView[];
  moments: Moment[];
  draft: KeptDraft | null;
  completion: Completion | null;
}

export interface SubmitRequest {
  code: string;
  version?: number;
}

/** A grade, and what it means for the lab. */
export interface Submitted extends Grade {
  attempt: string;
  passed: boolean;
  /** Where to look again after a failure. */
  moment: Moment | null;
}

export type HappeningType = "open" | "run" | "hint" | "segment_click" | "seek" | "leave";

export interface Happening {
  lab?: string;
  type: HappeningType;
  at: string;
  data: Record<string, unknown>;
}

// teachers

export interface TaughtCourses {
  courses: { course: string; title: string; language: string; videos: number; labs: number; learners: number }[];
}

export interface TaughtLabEntry {
  lab: string;
  title: string;
  status: "draft" | "published" | "retired";
  version: number;
  verified: boolean;
  moments: Moment[];
}

export interface TaughtCourse {
  course: string;
  title: string;
  language: string;
  videos: Video[];
  labs: TaughtLabEntry[];
}

export interface VideoRequest {
  title: string;
  youtube?: string;
  url?: string;
  language?: string;
  /** Without it, what is said stays as it is. */
  transcript?: string;
  /** Of the file. */
  name?: string;
}

export interface Transcribed {
  segments: number;
  duration: number;
  chapters: Chapter[];
  language: string;
  notes: string[];
}

export interface Fetching {
  state: "running" | "done" | "failed";
  why: string | null;
}

export interface Match {
  /** With `all`. */
  lab?: string;
  video: string;
  start: number;
  end: number | null;
  score: number;
  words: string[];
  confident: boolean;
}

export interface Matches {
  matches: Match[];
  confident: boolean;
}

/** How the matches agree with the pins; shares of 1. */
export interface Evaluation {
  pins: number;
  recallAt1: number;
  recallAt3: number;
}

/** The JSON form of a lab: what the form of the page has not is kept as it is. */
export interface LabForm {
  id: string;
  title: string;
  summary?: string;
  goals?: string[];
  concepts?: string[];
  difficulty?: number;
  kind?: LabKind;
  policy?: string;
  task: string;
  starter?: string;
  solution?: string;
  hints?: string[];
  suite?: Record<string, unknown>;
  [more: string]: unknown;
}

export interface Finding {
  severity: "error" | "warning" | "note";
  code: string;
  message: string;
  /** A file or a test; "" if it is of the whole lab. */
  where?: string;
  /** More lines, such as what a run printed. */
  detail?: string;
}

export interface LabReport {
  ok: boolean;
  findings: Finding[];
  mutants: number;
  killed: number;
  runs: number;
  seconds: number;
}

export interface TaughtLab {
  lab: LabForm;
  status: "draft" | "published" | "retired";
  version: number;
  verified: boolean;
  report: LabReport | null;
}

export type GenerateRequest =
  | { from: "code"; name: string; source: string; kinds?: LabKind[] }
  | { from: "bank"; concepts: string[] }
  | { from: "model"; video: string; start: number; end: number; kind?: LabKind };

/** `failed`: of one lab, or, as the last one, of all. */
export type GenerateEvent =
  | { type: "step"; step: string; message: string }
  | { type: "lab"; lab: LabForm; report: LabReport | null }
  | { type: "failed"; why: string }
  | { type: "done"; labs: number };

export interface Imported {
  labs: string[];
  notes: string[];
}

export interface Rows<R> {
  rows: R[];
}

export interface AttentionRow {
  learner: string;
  lab: string | null;
  why: string;
  since: string;
}

export interface LabRow {
  lab: string;
  title: string;
  opened: number;
  ran: number;
  submitted: number;
  passed: number;
  attempts: number | null;
  minutes: number | null;
  /** Shares are null where there are too few learners. */
  lastHint: number | null;
  left: number | null;
}

export interface ErrorRow {
  lab: string;
  error: string;
  test: string | null;
  count: number;
  programs: string[];
}

export interface SegmentRow {
  video: string;
  start: number;
  end: number;
  clicks: number;
  /** Clicks after which a lab was passed soon. */
  passedAfter: number | null;
}

export interface PaceRow {
  day: string;
  passed: number;
  active: number;
}
