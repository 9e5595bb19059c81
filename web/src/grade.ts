/** One grade of a program: by the tests of a suite that the service keeps, test by test as they end. */

import type { Addresses } from "./addresses.js";
import { CUT_OFF_GRADE } from "./failure.js";
import { type Aside, follow } from "./follow.js";
import type { Grade, InputFile, TestResult } from "./wire.js";

/** What is sent to be graded. `suiteId`: the name of a suite, or a name, `@` and a version. */
export interface GradeRequest {
  code: string;
  suiteId: string;
  files?: InputFile[];
}

/** What happens to a grade: its tests as they end, and all of it, or why there is none. */
export type GradeEvent = ({ type: "test" } & TestResult) | ({ type: "grade" } & Grade) | Aside;

type Told = ({ type: "test" } & TestResult) | ({ type: "grade" } & Omit<Grade, "tests">);

export class GradeRun {
  readonly #abort = new AbortController();

  /** `listener` is told of every event; the last is a `grade` or a `problem`. `request`: a `GradeRequest`, or another service's. */
  constructor(addresses: Addresses, request: object, listener: (event: GradeEvent) => void) {
    void this.#follow(addresses, request, listener);
  }

  async #follow(addresses: Addresses, request: object, listener: (event: GradeEvent) => void): Promise<void> {
    const tests: TestResult[] = [];
    const question = { address: addresses.grade, request, headers: addresses.headers(), signal: this.#abort.signal };
    for await (const event of follow<Told>({ ...question, last: "grade", cutOff: CUT_OFF_GRADE })) {
      if (event.type === "grade") {
        listener({ ...event, tests }); // the service sends nothing twice
        continue;
      }
      if (event.type === "test") {
        const { type: _, ...test } = event;
        tests.push(test);
      }
      listener(event);
    }
  }

  /** Stop it: what is running is ended. */
  cancel(): void {
    this.#abort.abort();
  }
}
