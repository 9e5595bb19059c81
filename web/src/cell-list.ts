/** The cells of a notebook: in which order they are, on the page and in local storage. */

import { Cell, type CellHost } from "./cell.js";
import { el } from "./dom.js";

const KEY = "run-notebook:cells";

export class CellList {
  readonly element = el("div", { className: "cells" });
  readonly #host: CellHost;
  #cells: Cell[] = [];

  constructor(host: CellHost) {
    this.#host = host;
  }

  get all(): readonly Cell[] {
    return this.#cells;
  }

  get codes(): string[] {
    return this.#cells.map((cell) => cell.code);
  }

  /** Put a new cell at an index, or at the end. */
  add(code = "", at = this.#cells.length): Cell {
    const cell = new Cell(this.#host, code);
    this.#cells.splice(at, 0, cell);
    this.element.insertBefore(cell.element, this.element.children[at] ?? null);
    this.#place();
    return cell;
  }

  /** The cell below another one; at the end, a new one. */
  below(cell: Cell): Cell {
    const next = this.#cells.indexOf(cell) + 1;
    return this.#cells[next] ?? this.add("", next);
  }

  /** Move a cell up or down; say to which place, from 1, or null where it stays. */
  move(cell: Cell, by: number): number | null {
    const from = this.#cells.indexOf(cell);
    const to = from + by;
    if (to < 0 || to >= this.#cells.length) return null;
    const focused = this.#host.root.activeElement;
    this.#cells.splice(to, 0, ...this.#cells.splice(from, 1));
    this.element.insertBefore(cell.element, this.element.children[by > 0 ? to + 1 : to] ?? null);
    if (focused instanceof HTMLElement) focused.focus(); // which a moved element loses
    this.#place();
    return to + 1;
  }

  /** Remove a cell, and return the one that takes its place; there is always one. */
  remove(cell: Cell): Cell {
    const at = this.#cells.indexOf(cell);
    this.#drop(cell);
    return this.#cells[at] ?? this.#cells[at - 1] ?? this.add();
  }

  /** Have a cell for each of these codes, and at least one. */
  replace(codes: readonly string[]): void {
    for (const cell of [...this.#cells]) this.#drop(cell);
    for (const code of codes.length > 0 ? codes : [""]) this.add(code);
  }

  save(): void {
    try {
      localStorage.setItem(KEY, JSON.stringify(this.codes));
    } catch {
      // full, or not allowed: the code is still in the editors
    }
  }

  /** Have the cells that were saved in this browser, or an empty one. */
  load(): void {
    this.replace(saved() ?? []);
  }

  #drop(cell: Cell): void {
    this.#cells = this.#cells.filter((each) => each !== cell);
    cell.element.remove();
    cell.editor.view.destroy();
    this.#place();
  }

  #place(): void {
    this.#cells.forEach((cell, index) => (cell.place = index + 1));
  }
}

function saved(): string[] | null {
  try {
    const codes: unknown = JSON.parse(localStorage.getItem(KEY) ?? "null");
    return Array.isArray(codes) && codes.every((code) => typeof code === "string") ? codes : null;
  } catch {
    return null;
  }
}
