/** Grades, one after another, and what is shown of the last: its tests, and how it stands. */

import type { Addresses } from "./addresses.js";
import type { Failure } from "./failure.js";
import { type GradeEvent, GradeRun } from "./grade.js";
import { Report } from "./report.js";
import type { Status } from "./status.js";
import { outcomeOf } from "./verdicts.js";
import type { Grade } from "./wire.js";

export class Grading {
  readonly report = new Report();
  readonly #status: Status;
  #run: GradeRun | null = null;
  #grade: Grade | null = null;
  #stopping = false;

  constructor(status: Status) {
    this.#status = status;
  }

  get running(): boolean {
    return this.#run !== null;
  }

  /** What came of the last one, if anything did. */
  get grade(): Grade | null {
    return this.#grade;
  }

  /** Grade; `told` hears of each event after it is shown. Resolves with the grade, or with null where there is none. */
  start(addresses: Addresses, request: object, told: (event: GradeEvent) => void): Promise<Grade | null> {
    this.clear();
    this.#stopping = false;
    this.#status.say("busy", "Checking your work");
    return new Promise((resolve) => {
      this.#run = new GradeRun(addresses, request, (event) => {
        this.#show(event);
        told(event);
        if (event.type === "grade" || event.type === "problem") resolve(this.#grade);
      });
    });
  }

  stop(): void {
    this.#stopping = true;
    this.#run?.cancel();
  }

  clear(): void {
    this.#grade = null;
    this.report.clear();
  }

  #show(event: GradeEvent): void {
    switch (event.type) {
      case "test":
        this.report.add(event);
        break;
      case "grade": {
        const { type: _, ...grade } = event;
        this.#run = null;
        this.#grade = grade;
        this.report.end(grade);
        this.#status.say(grade.verdict === "passed" ? "good" : "bad", outcomeOf(grade));
        break;
      }
      case "problem":
        this.#run = null;
        this.#fail(event);
        break;
    }
  }

  #fail({ status, title, detail }: Failure): void {
    if (this.#stopping && status === 0) {
      this.#status.say("bad", "Stopped");
      return;
    }
    this.report.fail(detail);
    this.#status.say("bad", status === 429 ? "Too many runs" : title);
  }
}
