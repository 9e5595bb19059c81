/** Programs in a link's fragment, which browsers send to nobody: `#z=` (deflated, base64url) or, by hand, `#code=`. */

async function through(bytes: Uint8Array<ArrayBuffer>, stream: CompressionStream | DecompressionStream): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
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
    if (kind === "code") return decodeURIComponent(value);
    if (kind !== "z") return null;
    const packed = Uint8Array.from(atob(value.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));
    return new TextDecoder().decode(await through(packed, new DecompressionStream("deflate-raw")));
  } catch {
    return null;
  }
}
