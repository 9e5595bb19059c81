/** What a page shows of a program's run: its output, the lines that failed, and how it stands. */

import { Console, type Typing } from "./console.js";
import type { Editor } from "./editor.js";
import type { Failure } from "./failure.js";
import type { RunEvent } from "./run.js";
import type { Status } from "./status.js";
import type { Result } from "./wire.js";
import { failedLine, sentence } from "./words.js";

interface RunViewOptions {
  status: Status;
  typing: Typing;
  /** Whether the line for input may take the focus when it opens. */
  mayFocus: () => boolean;
}

export class RunView {
  readonly console: Console;
  readonly status: Status;
  /** Where the lines that failed are marked, once there is an editor. */
  editor: Editor | null = null;
  readonly #mayFocus: () => boolean;
  #stderr = ""; // of this run, so far

  constructor({ status, typing, mayFocus }: RunViewOptions) {
    this.console = new Console(typing);
    this.status = status;
    this.#mayFocus = mayFocus;
  }

  /** Get ready for another run. */
  begin(): void {
    this.#stderr = "";
    this.clear();
  }

  /** Empty the console and take the marks off the code. */
  clear(): void {
    this.console.clear();
    this.editor?.markLine(null);
    this.editor?.showProblems([]);
  }

  /** Show what the program does while it runs; other events are not shown here. */
  show(event: RunEvent): void {
    switch (event.type) {
      case "stdout":
      case "stderr":
        if (event.type === "stderr") this.#stderr += event.data;
        this.console.write(event.type, event.data);
        break;
      case "waiting":
        this.status.say("busy", "Waiting for input");
        this.console.openPrompt(this.#mayFocus());
        break;
      case "display":
        this.console.display(event);
        break;
      case "file":
        this.console.file(event);
        break;
    }
  }

  /** Show what came of it. */
  finish(result: Result): void {
    this.console.closePrompt();
    const said = sentence(result, this.#stderr);
    if (said) this.console.note(said, "refusal");
    const line = failedLine(result);
    this.editor?.showProblems(result.problems);
    this.editor?.markLine(line);
    this.status.ended(result, line);
  }

  /** Show why nothing came of it; `title` says it in short. */
  fail(failure: Failure, title = failure.title): void {
    this.console.closePrompt();
    this.console.note(failure.detail, "refusal");
    this.status.say("bad", title);
  }

  /** Show that it was stopped before anything came of it. */
  stop(): void {
    this.console.closePrompt();
    this.status.say("bad", "Stopped");
  }
}
