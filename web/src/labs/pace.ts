/** Labs passed and active learners by day, as lines. The same numbers are in a table beside. */

import uPlot from "uplot";
import { el } from "../dom.js";
import type { PaceRow } from "../labs-wire.js";

const HEIGHT = 240; // pixels
const DAY = 86_400; // seconds
const WEEK = 6 * DAY; // from its first day to its last

export function paceChart(rows: readonly PaceRow[]): HTMLElement {
  const days = rows.map(({ day }) => day);
  const name = `Labs passed and active learners by day, ${days[0]} to ${days.at(-1)}; the table has the numbers`;
  const box = el("div", { className: "chart", role: "img", ariaLabel: name });
  const times = days.map((day) => Date.parse(`${day}T00:00:00`) / 1000);
  const data: uPlot.AlignedData = [times, rows.map(({ passed }) => passed), rows.map(({ active }) => active)];
  let chart: uPlot | null = null;
  const draw = (): void => {
    chart?.destroy();
    chart = new uPlot(optionsOf(box, times), data, box);
  };
  // its width is known once it is in the page; its colours change with the theme
  new ResizeObserver(([entry]) => {
    if (!entry || entry.contentRect.width === 0) return;
    if (chart) chart.setSize({ width: entry.contentRect.width, height: HEIGHT });
    else draw();
  }).observe(box);
  new MutationObserver(() => chart && draw()).observe(document.documentElement, { attributeFilter: ["theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chart && draw());
  return box;
}

function optionsOf(box: HTMLElement, times: readonly number[]): uPlot.Options {
  const [first = 0, last = first] = [times[0], times.at(-1)];
  const probe = el("span", { className: "facts" });
  box.append(probe);
  const muted = getComputedStyle(probe).color;
  probe.className = "why";
  const { color: text } = getComputedStyle(probe);
  probe.className = "accent";
  const { color: accent } = getComputedStyle(probe);
  probe.remove();
  const axis = { stroke: muted, grid: { stroke: muted, width: 0.25 }, ticks: { stroke: muted, width: 0.5 } };
  return {
    width: box.clientWidth,
    height: HEIGHT,
    cursor: { drag: { x: false, y: false } },
    scales: {
      x: { range: () => [Math.min(first, last - WEEK), last] }, // of one day, its own would be years
      y: { range: (_, __, most) => [0, Math.max(1, most)] },
    },
    axes: [
      { ...axis, incrs: [1, 2, 7, 14, 28, 91, 182, 365].map((days) => days * DAY) },
      { ...axis, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] },
    ],
    series: [
      { label: "Day", value: "{YYYY}-{MM}-{DD}" },
      { label: "Labs passed", stroke: accent, width: 2 },
      { label: "Active learners", stroke: text, width: 2, dash: [6, 4] },
    ],
  };
}
