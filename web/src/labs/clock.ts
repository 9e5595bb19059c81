/** Seconds of a video, and dates, for people. */

import type { Segments, Video } from "../labs-wire.js";

/** "3:05", "1:02:07" */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const end = String(rest).padStart(2, "0");
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, "0")}:${end}` : `${minutes}:${end}`;
}

/** Read "3:05", "1:02:07" or "185"; null for anything else. */
export function secondsOf(text: string): number | null {
  const parts = text.trim().split(":");
  if (parts.length > 3 || !parts.every((part) => /^\d+(?:\.\d+)?$/.test(part))) return null;
  return parts.reduce((sum, part) => 60 * sum + Number(part), 0);
}

/** What is said, as WebVTT. */
export function captions(said: Segments["segments"]): string {
  const stamp = (seconds: number): string => new Date(1000 * seconds).toISOString().slice(11, 23);
  const cues = said.map(({ start, end, text }) => `${stamp(start)} --> ${stamp(end)}\n${vtt(text)}\n`);
  return ["WEBVTT\n", ...cues].join("\n");
}

/** Text that no part of WebVTT can be taken for. */
function vtt(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replace(/\s*\n\s*/g, " ");
}

/** "14:05" today, else with the day. */
export function timeOfDay(iso: string, now = new Date()): string {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return "";
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return date.toDateString() === now.toDateString() ? time : `${date.toLocaleDateString()}, ${time}`;
}

/** The id of a video on YouTube, out of an address or the id itself; null for anything else. */
export function youtubeId(text: string): string | null {
  const said = text.trim();
  if (/^[\w-]{11}$/.test(said)) return said;
  const address = /^(?:https?:\/\/)?(?:www\.|m\.)?(?:youtube(?:-nocookie)?\.com|youtu\.be)\/(.*)$/.exec(said)?.[1];
  return address === undefined ? null : (/(?:^|[?&]v=|embed\/|shorts\/|live\/)([\w-]{11})(?:[?&#/]|$)/.exec(address)?.[1] ?? null);
}

/** Where a reader can see a video at a second, in a tab of its own; null for what is no address. */
export function linkTo({ youtube, url }: Pick<Video, "youtube" | "url">, second: number): string | null {
  const at = Math.max(0, Math.floor(second));
  if (youtube) return `https://www.youtube.com/watch?v=${encodeURIComponent(youtube)}&t=${at}`;
  const file = fileOf(url);
  return file === null ? null : `${file}#t=${at}`;
}

/** The address of a video file; null for what a browser should not be sent to. */
export function fileOf(url: string | null): string | null {
  if (!url) return null;
  try {
    const address = new URL(url, document.baseURI);
    address.hash = "";
    return /^https?:$/.test(address.protocol) ? address.href : null;
  } catch {
    return null;
  }
}
