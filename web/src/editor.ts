/** The editor: CodeMirror with Python, a mark on the line that failed, and squiggles under what is not allowed. */

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab, isolateHistory } from "@codemirror/commands";
import { python } from "@codemirror/lang-python";
import { bracketMatching, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { type Diagnostic, linter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { Compartment, EditorState, type Extension, type Line, Prec, RangeSet, StateEffect, StateField } from "@codemirror/state";
import {
  Decoration,
  type DecorationSet,
  drawSelection,
  EditorView,
  GutterMarker,
  gutterLineClass,
  highlightActiveLine,
  highlightSpecialChars,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { classHighlighter } from "@lezer/highlight";
import type { Problem } from "./wire.js";

export interface EditorOptions {
  parent: HTMLElement;
  root: ShadowRoot;
  changed(): void;
  run(): void;
  /** Run, and go on to what follows (Shift-Enter), where something does. */
  runAndGoOn?(): void;
  /** Ask what is wrong with the code as it is; called a moment after the last key. */
  check(code: string): Promise<Problem[]>;
}

const CHECK_AFTER = 500; // ms without a key

const markLine = StateEffect.define<number | null>();
const failedLine = Decoration.line({ class: "failed-line" });
const failedNumber = new (class extends GutterMarker {
  override elementClass = "failed-line";
})();

/** The line that failed, until the code is changed. */
const failure = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(marks, transaction) {
    for (const effect of transaction.effects) {
      if (effect.is(markLine)) {
        const line = effect.value === null ? null : lineAt(transaction.state, effect.value);
        return line ? Decoration.set(failedLine.range(line.from)) : Decoration.none;
      }
    }
    return transaction.docChanged ? Decoration.none : marks;
  },
  provide: (field) => [
    EditorView.decorations.from(field),
    gutterLineClass.compute([field], (state) => {
      const at = state.field(field).iter();
      return at.value ? RangeSet.of(failedNumber.range(at.from)) : RangeSet.empty;
    }),
  ],
});

function lineAt(state: EditorState, number: number): Line | null {
  return number >= 1 && number <= state.doc.lines ? state.doc.line(number) : null;
}

function diagnostic(state: EditorState, problem: Problem): Diagnostic {
  const line = lineAt(state, problem.line) ?? state.doc.line(state.doc.lines);
  const before = [...line.text].slice(0, problem.column - 1).join(""); // Python counts characters, JavaScript UTF-16
  const from = line.from + before.length;
  const word = state.wordAt(from);
  const to = word && word.from === from ? word.to : line.to;
  return { from, to, severity: "error", message: problem.message };
}

export class Editor {
  readonly view: EditorView;
  readonly #extensions: Extension;
  readonly #writable = new Compartment();
  #readOnly = false;
  #edited = false;
  #problems: readonly Problem[] = [];

  constructor(options: EditorOptions) {
    const runKey = { key: "Mod-Enter", preventDefault: true, run: () => (options.run(), true) };
    const goOn = options.runAndGoOn;
    const goOnKeys = goOn ? [{ key: "Shift-Enter", preventDefault: true, run: () => (goOn(), true) }] : [];
    this.#extensions = [
      Prec.highest(keymap.of([runKey, { ...runKey, key: "Ctrl-Enter" }, ...goOnKeys])),
      lineNumbers(),
      highlightSpecialChars(),
      history(),
      drawSelection(),
      indentOnInput(),
      bracketMatching(),
      closeBrackets(),
      highlightActiveLine(),
      // on request (Ctrl-Space) only: a list that opens by itself takes the Enter key away from a learner
      autocompletion({ activateOnTyping: false, icons: false }),
      python(),
      syntaxHighlighting(classHighlighter),
      indentUnit.of("    "),
      EditorState.tabSize.of(4),
      failure,
      linter((view) => this.#check(view, options.check), { delay: CHECK_AFTER }),
      keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...historyKeymap, ...completionKeymap, ...lintKeymap, indentWithTab]),
      EditorView.updateListener.of((update) => {
        if (!update.docChanged) return;
        this.#edited = true;
        options.changed();
      }),
      EditorView.contentAttributes.of({
        "aria-label": "Python code",
        "aria-description": `Tab indents; press Escape, then Tab, to leave the editor. ${
          goOn ? "Shift Enter runs the cell and goes on to the next." : "Control Enter runs the program."
        }`,
        autocapitalize: "off",
        autocorrect: "off",
        spellcheck: "false",
        tabindex: "0", // it is what a keyboard scrolls a long line with
      }),
    ];
    this.view = new EditorView({ state: this.#state(""), parent: options.parent, root: options.root });
  }

  get code(): string {
    return this.view.state.doc.toString();
  }

  /** Begin with another program: there is nothing to undo. */
  open(text: string): void {
    this.view.setState(this.#state(text));
    this.#edited = false;
    this.#problems = [];
  }

  /** Replace the code, as one edit that can be undone. */
  set code(text: string) {
    if (text === this.code) return;
    const changes = { from: 0, to: this.view.state.doc.length, insert: text };
    this.view.dispatch({ changes, annotations: isolateHistory.of("full"), scrollIntoView: true });
    this.#edited = false; // nobody typed it
    this.showProblems([]);
  }

  set readOnly(on: boolean) {
    this.#readOnly = on;
    this.view.dispatch({ effects: this.#writable.reconfigure(EditorState.readOnly.of(on)) });
  }

  #state(doc: string): EditorState {
    return EditorState.create({
      doc,
      extensions: [this.#extensions, this.#writable.of(EditorState.readOnly.of(this.#readOnly))],
    });
  }

  /** Mark a line as the one that failed; null: none. */
  markLine(number: number | null): void {
    this.view.dispatch({ effects: markLine.of(number) });
  }

  showProblems(problems: readonly Problem[]): void {
    const { state } = this.view;
    this.#problems = problems;
    this.view.dispatch(setDiagnostics(state, problems.map((problem) => diagnostic(state, problem))));
  }

  goTo(number: number): void {
    const line = lineAt(this.view.state, number);
    if (!line) return;
    this.view.dispatch({ selection: { anchor: line.from }, effects: EditorView.scrollIntoView(line.from, { y: "nearest" }) });
    this.view.focus();
  }

  async #check(view: EditorView, ask: EditorOptions["check"]): Promise<Diagnostic[]> {
    const { doc } = view.state;
    // what the page came with is not held against the learner before a run
    const problems = this.#edited ? await ask(doc.toString()) : this.#problems;
    return view.state.doc === doc ? problems.map((problem) => diagnostic(view.state, problem)) : [];
  }
}
