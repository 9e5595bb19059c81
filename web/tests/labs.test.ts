import assert from "node:assert/strict";
import { test } from "node:test";
import { LabsClient } from "../src/labs/client.js";
import { captions, clock, linkTo, secondsOf, youtubeId } from "../src/labs/clock.js";
import { anonymousLearner, nameOfToken } from "../src/labs/learner.js";

test("seconds are shown and read as a video's page does", () => {
  assert.deepEqual([0, 65.9, 3727].map(clock), ["0:00", "1:05", "1:02:07"]);
  assert.deepEqual(["1:05", "1:02:07", "90", "1:x", "", "1:2:3:4"].map(secondsOf), [65, 3727, 90, null, null, null]);
});

test("the id of a video is found in its addresses, and in nothing else", () => {
  const id = "dQw4w9WgXcQ";
  const page = "https://www.youtube.com/watch";
  for (const text of [id, `${page}?v=${id}&t=3`, `${page}?t=1&v=${id}`, `https://youtu.be/${id}?t=3`, `youtube.com/embed/${id}`]) {
    assert.equal(youtubeId(text), id, text);
  }
  for (const text of ["", "a video", `https://example.org/watch?v=${id}`, `${page}?v=short`]) assert.equal(youtubeId(text), null, text);
});

test("a link to a video has its second, and is of no other kind than the web's", () => {
  Object.assign(globalThis, { document: { baseURI: "https://school.example/labs" } });
  assert.equal(linkTo({ youtube: "dQw4w9WgXcQ", url: null }, 83.7), "https://www.youtube.com/watch?v=dQw4w9WgXcQ&t=83");
  assert.equal(linkTo({ youtube: null, url: "https://school.example/a.mp4" }, 83), "https://school.example/a.mp4#t=83");
  assert.equal(linkTo({ youtube: null, url: "javascript:alert(1)" }, 83), null);
  assert.equal(linkTo({ youtube: null, url: null }, 83), null);
});

test("captions are the words that were said, whatever they are", () => {
  const said = [
    { start: 0, end: 2.5, text: "if a < b --> c" },
    { start: 3600, end: 3601.25, text: "two\n\nlines & more" },
  ];
  const [first, second] = ["00:00:00.000 --> 00:00:02.500\nif a &lt; b --&gt; c\n", "01:00:00.000 --> 01:00:01.250\ntwo lines &amp; more\n"];
  assert.equal(captions(said), `WEBVTT\n\n${first}\n${second}`);
});

test("a browser's learner stays the same, and is nobody", () => {
  const kept = new Map<string, string>();
  const store = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value) };
  const name = anonymousLearner(store);
  assert.match(name, /^anon-[0-9a-f]{24}$/);
  assert.equal(anonymousLearner(store), name);
  assert.notEqual(anonymousLearner(null), anonymousLearner(null));
});

test("two tokens of a learner are of one", () => {
  const token = (claims: object): string => `e.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.s`;
  assert.equal(nameOfToken(token({ sub: "ada", exp: 1 })), "sub-ada");
  assert.equal(nameOfToken(token({ sub: "ada", exp: 2 })), "sub-ada");
  assert.equal(nameOfToken("ce_12345678_x"), "key");
});

test("parts of an address cannot leave their place in it", () => {
  const client = new LabsClient("https://school.example/code/labs?course=x", "a.b.c");
  assert.equal(client.at("courses/{}/labs/{}", "a/../b", "c?d").href, "https://school.example/code/api/labs/v1/courses/a%2F..%2Fb/labs/c%3Fd");
  assert.deepEqual(client.headers(), { Authorization: "Bearer a.b.c" });
});
