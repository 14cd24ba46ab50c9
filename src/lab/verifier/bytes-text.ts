/**
 * Bytes as a person types them: hex, spaces and line breaks free, with an ASCII column to read along.
 * Parsing says what is wrong and where.
 */
export const MAX_PACKET_BYTES = 1_500;
const ROW_BYTES = 16;

export type ParsedBytes = { ok: true; bytes: Uint8Array } | { ok: false; message: string };

export function parseHex(text: string): ParsedBytes {
  const bytes: number[] = [];
  let pending = "";
  for (const [lineIndex, line] of text.split("\n").entries()) {
    for (const [column, char] of [...line].entries()) {
      if (/\s/.test(char)) continue;
      if (!/[0-9a-fA-F]/.test(char)) {
        return {
          ok: false,
          message: `line ${lineIndex + 1}, column ${column + 1}: '${char}' is not a hex digit`,
        };
      }
      pending += char;
      if (pending.length === 2) {
        bytes.push(Number.parseInt(pending, 16));
        pending = "";
      }
    }
  }
  if (pending !== "") return { ok: false, message: "half a byte at the end: a hex digit is missing" };
  if (bytes.length > MAX_PACKET_BYTES) {
    return { ok: false, message: `${bytes.length} bytes, but a packet here has at most ${MAX_PACKET_BYTES}` };
  }
  return { ok: true, bytes: Uint8Array.from(bytes) };
}

/** Text as a packet's bytes: one byte a char, CR LF for each line break, as HTTP wants it. */
export function parseText(text: string): ParsedBytes {
  const wire = text.replace(/\r?\n/g, "\r\n");
  const odd = [...wire].find((char) => (char.codePointAt(0) ?? 0) > 0xff);
  if (odd) return { ok: false, message: `'${odd}' does not fit into one byte` };
  if (wire.length > MAX_PACKET_BYTES) {
    return { ok: false, message: `${wire.length} bytes, but a packet here has at most ${MAX_PACKET_BYTES}` };
  }
  return { ok: true, bytes: Uint8Array.from(wire, (char) => char.charCodeAt(0)) };
}

export type HexRow = { readonly offset: string; readonly hex: string; readonly ascii: string };

export function hexRows(bytes: Uint8Array): HexRow[] {
  const rows: HexRow[] = [];
  for (let at = 0; at < bytes.length; at += ROW_BYTES) {
    const row = bytes.subarray(at, at + ROW_BYTES);
    rows.push({
      offset: at.toString(16).padStart(4, "0"),
      hex: toHex(row),
      ascii: Array.from(row, (b) => (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : "·")).join(""),
    });
  }
  return rows;
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join(" ");
}
