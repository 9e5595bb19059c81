/** Programs in a link's fragment, which browsers send to nobody: `#z=` (deflated, base64url) or, by hand, `#code=`. */

/** Bytes of a program, four times what the server takes by default: a short link can hold hundreds of millions. */
const LARGEST = 1 << 20;

async function through(bytes: Uint8Array<ArrayBuffer>, stream: CompressionStream | DecompressionStream): Promise<Uint8Array<ArrayBuffer>> {
  const read: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  const reader = new Blob([bytes]).stream().pipeThrough(stream).getReader();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    size += piece.value.length;
    if (size > LARGEST) {
      await reader.cancel();
      throw new RangeError("too large");
    }
    read.push(piece.value as Uint8Array<ArrayBuffer>);
  }
  return new Uint8Array(await new Blob(read).arrayBuffer());
}

export async function toFragment(code: string): Promise<string> {
  const packed = await through(new TextEncoder().encode(code), new CompressionStream("deflate-raw"));
  const text = Array.from(packed, (byte) => String.fromCharCode(byte)).join("");
  return `#z=${btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")}`;
}

/** The program in a fragment; null where there is none, or none that can be read. */
export async function fromFragment(fragment: string): Promise<string | null> {
  const [, kind, value = ""] = /^#(z|code)=(.*)$/s.exec(fragment) ?? [];
  try {
    if (value.length > 3 * LARGEST) return null;
    if (kind === "code") return decodeURIComponent(value);
    if (kind !== "z") return null;
    const packed = Uint8Array.from(atob(value.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));
    return new TextDecoder().decode(await through(packed, new DecompressionStream("deflate-raw")));
  } catch {
    return null;
  }
}
