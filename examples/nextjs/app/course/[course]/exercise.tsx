"use client";

import { type ReactNode, useEffect, useRef, useState } from "react";
import { RunCode } from "@/app/run-code";
import { ask, type Draft, type Lab, type Moment, Problem, type Submitted } from "@/lib/labs";

const SAVE_AFTER = 1500; // ms without a key pressed

type Props = { course: string; lab: string; back: () => void; place: (moment: Moment) => ReactNode };

/** One lab: its task, the editor, hints, and what a submission gave. What is typed is saved by itself. */
export function Exercise({ course, lab, back, place }: Props) {
  const path = `courses/${encodeURIComponent(course)}/labs/${encodeURIComponent(lab)}`;
  const [view, setView] = useState<Lab | null>(null);
  const [start, setStart] = useState("");
  const [state, setState] = useState("");
  const [other, setOther] = useState<Draft | null>(null);
  const [given, setGiven] = useState<Lab["given"]>([]);
  const [submitted, setSubmitted] = useState<Submitted | null>(null);
  const code = useRef("");
  const revision = useRef<number | null>(null);
  const timer = useRef<number | undefined>(undefined);

  useEffect(() => {
    ask<Lab>(path).then(
      (lab) => {
        begin(lab.draft?.code ?? lab.starter, lab.draft?.revision ?? null);
        setGiven(lab.given);
        setView(lab);
      },
      (error: Error) => setState(error.message),
    );
    return () => {
      if (timer.current !== undefined) void save(); // what was typed a moment ago
    };
  }, [path]);

  function begin(text: string, at: number | null): void {
    code.current = text;
    revision.current = at;
    setStart(text);
    setOther(null);
  }

  async function save(): Promise<void> {
    const seen = revision.current;
    window.clearTimeout(timer.current);
    timer.current = undefined;
    try {
      const condition: HeadersInit = seen === null ? { "if-none-match": "*" } : { "if-match": `"${seen}"` };
      const saved = await ask<Draft>(`${path}/draft`, "PUT", { code: code.current }, condition);
      revision.current = saved.revision;
      setState("Saved");
    } catch (error) {
      if (error instanceof Problem && error.status === 409 && error.draft) setOther(error.draft);
      setState((error as Error).message);
    }
  }

  function changed(text: string): void {
    if (text === code.current) return;
    code.current = text;
    setState("");
    window.clearTimeout(timer.current);
    timer.current = window.setTimeout(() => void save(), SAVE_AFTER);
  }

  async function submit(): Promise<void> {
    setState("Checking");
    try {
      setSubmitted(await ask<Submitted>(`${path}/submit`, "POST", { code: code.current, version: view?.version }));
      setState("");
    } catch (error) {
      setState((error as Error).message);
    }
  }

  async function hint(): Promise<void> {
    try {
      const next = await ask<Lab["given"][number]>(`${path}/hints/${given.length + 1}`, "POST");
      setGiven([...given, next]);
    } catch (error) {
      setState((error as Error).message);
    }
  }

  function keepMine(theirs: Draft): void {
    revision.current = theirs.revision;
    setOther(null);
    void save();
  }

  if (!view) return <p role="status">{state || "Loading"}</p>;
  return (
    <>
      <p>
        <button type="button" onClick={back}>
          All labs
        </button>
      </p>
      <h1>{view.title}</h1>
      <p className="task">{view.task}</p>
      <RunCode key={start} label={view.title} storage="off" changed={changed}>
        {start}
      </RunCode>
      <p>
        <button type="button" onClick={() => void submit()}>
          Check my work
        </button>{" "}
        {given.length < view.hints && (
          <button type="button" onClick={() => void hint()}>
            Hint
          </button>
        )}{" "}
        <span role="status">{state}</span>
      </p>
      {other && (
        <p role="alert">
          Another window has saved this lab.{" "}
          <button type="button" onClick={() => begin(other.code, other.revision)}>
            Take its version
          </button>{" "}
          <button type="button" onClick={() => keepMine(other)}>
            Keep mine
          </button>
        </p>
      )}
      {given.length > 0 && <ol>{given.map(({ number, text }) => <li key={number}>{text}</li>)}</ol>}
      {submitted && (
        <section aria-label="What the tests found">
          <h2>{submitted.passed ? "Passed" : "Not yet"}</h2>
          <ul>
            {submitted.tests.map(({ id, name, verdict }) => (
              <li key={id}>
                {name || `Test ${id}`}: {verdict}
              </li>
            ))}
          </ul>
          {submitted.moment && <p>It is explained here: {place(submitted.moment)}</p>}
        </section>
      )}
    </>
  );
}
