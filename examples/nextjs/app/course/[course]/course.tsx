"use client";

import { useCallback, useEffect, useState } from "react";
import { type About, ask, clock, type Moment } from "@/lib/labs";
import { Exercise } from "./exercise";

const STATES = { new: "", begun: "begun", passed: "passed" };

/** A course: its labs with how far the learner is, and one of them. */
export function Course({ course }: { course: string }) {
  const [about, setAbout] = useState<About | null>(null);
  const [lab, setLab] = useState("");
  const [problem, setProblem] = useState("");
  const load = useCallback(async () => {
    try {
      setAbout(await ask<About>(`courses/${encodeURIComponent(course)}`));
    } catch (error) {
      setProblem((error as Error).message);
    }
  }, [course]);
  useEffect(() => void load(), [load]);

  if (problem) return <p role="alert">{problem}</p>;
  if (!about) return <p role="status">Loading</p>;
  if (lab) {
    const back = () => {
      setLab("");
      void load(); // for the new states
    };
    return <Exercise course={course} lab={lab} back={back} place={(moment) => <Place about={about} moment={moment} />} />;
  }
  const passed = about.labs.filter(({ state }) => state === "passed").length;
  return (
    <>
      <h1>{about.title}</h1>
      <p>
        {passed} of {about.labs.length} passed
      </p>
      <ul>
        {about.labs.map(({ lab: id, title, state, moments }) => (
          <li key={id}>
            <button type="button" onClick={() => setLab(id)}>
              {title}
            </button>{" "}
            {STATES[state]} {moments[0] && <Place about={about} moment={moments[0]} />}
          </li>
        ))}
      </ul>
    </>
  );
}

/** Where in a video something is explained: a link, if the video is on YouTube. */
function Place({ about, moment }: { about: About; moment: Moment }) {
  const video = about.videos.find(({ video: id }) => id === moment.video);
  const words = `${video?.title ?? moment.video}, ${clock(moment.start)}`;
  if (!video?.youtube) return <span>{words}</span>;
  const address = `https://www.youtube.com/watch?v=${encodeURIComponent(video.youtube)}&t=${Math.floor(moment.start)}`;
  return <a href={address}>{words}</a>;
}
