/** Texts of which every character can be seen: white space and what does not print, by marks. */

/** A piece of a text. With a `mark`, it is one character, which the mark stands for and `name` says. */
export interface Piece {
  text: string;
  mark?: string;
  name?: string;
}

const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Z}]/u;
const MARKS: Record<string, [mark: string, name: string]> = {
  " ": ["·", "space"],
  "\t": ["→", "tab"],
  "\n": ["↵", "end of the line"],
  "\r": ["␍", "carriage return"],
  "\u00a0": ["⍽", "no-break space"],
};
const PICTURES = 0x2400; // of control characters, in their order
/** What the service shows for white space: the reverse of its own table. */
const SHOWN = /[·→⍽␡\u2400-\u241f]/g;

/** Part a text at its invisible characters. */
export function pieces(text: string): Piece[] {
  const found: Piece[] = [];
  let plain = "";
  for (const character of text) {
    if (!INVISIBLE.test(character)) {
      plain += character;
      continue;
    }
    if (plain) found.push({ text: plain });
    plain = "";
    found.push({ text: character, ...markOf(character) });
  }
  if (plain) found.push({ text: plain });
  return found;
}

function markOf(character: string): { mark: string; name: string } {
  const [mark, name] = MARKS[character] ?? [];
  if (mark !== undefined && name !== undefined) return { mark, name };
  const code = character.codePointAt(0) ?? 0;
  const number = `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
  return { mark: code < 0x20 ? String.fromCodePoint(PICTURES + code) : code === 0x7f ? "␡" : `[${number}]`, name: `character ${number}` };
}

/** A piece of text as the service shows it, with the characters that its marks stand for. */
export function unmarked(shown: string): string {
  return shown.replace(SHOWN, (mark) => {
    if (mark === "·") return " ";
    if (mark === "→") return "\t";
    if (mark === "⍽") return "\u00a0";
    return mark === "␡" ? "\x7f" : String.fromCodePoint(mark.charCodeAt(0) - PICTURES);
  });
}

/** A text for a screen reader: what it would pass over is said, and spaces where they are not single ones between words. */
export function spoken(text: string): string {
  const said = text.replace(/ {2,}|^ | $| (?=\n)|(?<=\n) /g, (spaces) => (spaces.length > 1 ? `(${spaces.length} spaces)` : "(space)"));
  return pieces(said)
    .map((piece) => (piece.mark === undefined || piece.text === " " ? piece.text : ` (${piece.name}) `))
    .join("")
    .trim();
}

/** The marks that texts have, and what they stand for. */
export function legend(texts: readonly string[]): [mark: string, name: string][] {
  const found = new Map<string, string>();
  for (const text of texts) {
    for (const { mark, name } of pieces(text)) if (mark !== undefined && name !== undefined) found.set(mark, name);
  }
  return [...found];
}
