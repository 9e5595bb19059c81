/**
 * A video of a course. Nothing of it is loaded before a click; then it is an `<iframe>` of YouTube's page without
 * cookies, or a `<video>` with a file. A link to the same second is there always.
 */

import { el } from "../dom.js";
import type { Segments, Video } from "../labs-wire.js";
import { captions, clock, fileOf, linkTo } from "./clock.js";

const YOUTUBE = "https://www.youtube-nocookie.com";
const ASK_EVERY = 250; // ms until the player answers
const ASK_TIMES = 40;

export interface VideoListener {
  /** What is said in it, for the captions of a file. */
  said(): Promise<Segments["segments"]>;
  /** The video is at a second, while it plays. */
  at(second: number): void;
  /** The reader went to a second. */
  went(second: number): void;
}

export class VideoBox {
  readonly element: HTMLElement;
  readonly #video: Video;
  readonly #listener: VideoListener;
  readonly #screen = el("div", { className: "screen" });
  readonly #link = el("a", { target: "_blank", rel: "noopener noreferrer" });
  #player: Frame | HTMLVideoElement | null = null;

  constructor(video: Video, start: number, listener: VideoListener) {
    this.#video = video;
    this.#listener = listener;
    const from = video.youtube ? "YouTube" : "its file";
    const note = video.youtube ? "Nothing is loaded from YouTube before you press this." : "The file is loaded when you press this.";
    const play = el(
      "button",
      { type: "button", className: "play", onclick: () => this.seek(start) },
      el("span", { className: "triangle", ariaHidden: "true" }),
      el("span", {}, start > 0 ? `Play from ${clock(start)}` : "Play"),
      el("span", { className: "spoken" }, ` ${video.title}`),
    );
    const playable = Boolean(video.youtube) || fileOf(video.url) !== null;
    this.#screen.append(...(playable ? [play, el("p", {}, note)] : [el("p", {}, "This video is not here.")]));
    this.#link.dataset["from"] = from;
    this.#point(start);
    const caption = el("figcaption", {}, el("span", {}, video.title), ...(playable ? [this.#link] : []));
    this.element = el("figure", { className: "player" }, this.#screen, caption);
  }

  /** Play from a second on. */
  seek(second: number): void {
    this.#point(second);
    if (this.#player instanceof Frame) this.#player.seek(second);
    else if (this.#player) {
      this.#player.currentTime = second;
      void this.#player.play().catch(() => undefined);
    } else this.#load(second);
    this.#listener.went(second);
  }

  pause(): void {
    this.#player?.pause();
  }

  stop(): void {
    this.#player?.pause();
    if (this.#player instanceof Frame) this.#player.stop();
  }

  #load(second: number): void {
    const { youtube, url, title } = this.#video;
    const file = fileOf(url);
    if (youtube) {
      this.#player = new Frame(youtube, title, second, (at) => this.#at(at));
      this.#screen.replaceChildren(this.#player.element);
      this.#player.element.focus();
    } else if (file) {
      const video = el("video", { controls: true, preload: "metadata", src: `${file}#t=${second}`, ariaLabel: title });
      video.addEventListener("timeupdate", () => this.#at(video.currentTime));
      this.#player = video;
      this.#screen.replaceChildren(video);
      void this.#caption(video);
      video.focus();
      void video.play().catch(() => undefined); // a browser may want another click
    }
  }

  async #caption(video: HTMLVideoElement): Promise<void> {
    const said = await this.#listener.said().catch(() => []);
    if (said.length === 0) return; // a transcript may come later, or never
    const src = URL.createObjectURL(new Blob([captions(said)], { type: "text/vtt" }));
    video.append(el("track", { kind: "captions", label: "Transcript", srclang: this.#video.language || "en", src }));
  }

  #at(second: number): void {
    this.#point(second);
    this.#listener.at(second);
  }

  #point(second: number): void {
    this.#link.href = linkTo(this.#video, second) ?? "";
    this.#link.textContent = `Open ${this.#link.dataset["from"]} at ${clock(second)}`;
  }
}

/** YouTube's player, which is told what to do by messages; no script of YouTube's is in this page. */
class Frame {
  readonly element: HTMLIFrameElement;
  readonly #id: string;
  readonly #at: (second: number) => void;
  readonly #hear = (event: MessageEvent): void => this.#heard(event);
  #answers = false;
  #asking = 0;

  constructor(id: string, title: string, second: number, at: (second: number) => void) {
    this.#id = id;
    this.#at = at;
    this.element = el("iframe", {
      src: this.#address(second),
      title,
      allow: "autoplay; encrypted-media; fullscreen; picture-in-picture",
      // YouTube plays nothing for a page that does not say where it is (error 153), and this page says it to nobody else
      referrerPolicy: "strict-origin-when-cross-origin",
      onload: () => this.#introduce(),
    });
    addEventListener("message", this.#hear);
  }

  seek(second: number): void {
    if (!this.#answers) {
      this.element.src = this.#address(second); // a player that says nothing may hear nothing
      return;
    }
    this.#command("seekTo", [second, true]);
    this.#command("playVideo");
  }

  pause(): void {
    this.#command("pauseVideo");
  }

  stop(): void {
    clearInterval(this.#asking);
    removeEventListener("message", this.#hear);
  }

  #address(second: number): string {
    const start = String(Math.max(0, Math.floor(second)));
    const options = new URLSearchParams({ enablejsapi: "1", autoplay: "1", rel: "0", start, origin: location.origin });
    return `${YOUTUBE}/embed/${encodeURIComponent(this.#id)}?${options.toString()}`;
  }

  /** Ask the player to tell where it is, until it does. */
  #introduce(): void {
    clearInterval(this.#asking);
    let times = 0;
    this.#asking = window.setInterval(() => {
      if (this.#answers || ++times > ASK_TIMES) clearInterval(this.#asking);
      else this.#send({ event: "listening", id: this.#id, channel: "widget" });
    }, ASK_EVERY);
  }

  #command(func: string, args: unknown[] = []): void {
    this.#send({ event: "command", func, args });
  }

  #send(message: object): void {
    this.element.contentWindow?.postMessage(JSON.stringify(message), YOUTUBE);
  }

  #heard({ origin, source, data }: MessageEvent): void {
    if (origin !== YOUTUBE || source !== this.element.contentWindow) return;
    let said: { info?: { currentTime?: unknown } | null } | null;
    try {
      said = (typeof data === "string" ? JSON.parse(data) : data) as typeof said;
    } catch {
      return;
    }
    this.#answers = true;
    const second = said?.info?.currentTime;
    if (typeof second === "number" && Number.isFinite(second)) this.#at(second);
  }
}
