/**
 * Base64 keys (flag b), decoded as memcached does: bytes outside the alphabet are skipped, the rest must
 * come in whole groups of four, padding included, and end at the first padded group.
 */
const SKIP = 0x80;
const PAD = 0x3d;
const VALUE_OF = new Uint8Array(256).fill(SKIP);
for (const [i, char] of [..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"].entries()) {
  VALUE_OF[char.charCodeAt(0)] = i;
}

/** @returns the key as latin1, or null where memcached answers "error decoding key" */
export function decodeKey(bytes: Uint8Array, start: number, end: number): string | null {
  let key = "";
  let group = 0;
  let filled = 0;
  let padded = 0;
  for (let i = start; i < end; i++) {
    const byte = bytes[i]!;
    const value = VALUE_OF[byte]!;
    if (value === SKIP && byte !== PAD) continue;
    if (padded > 0 && filled === 0) return countIsWhole(bytes, i, end) ? key : null;
    if (byte === PAD) padded++;
    group = (group << 6) | (byte === PAD ? 0 : value);
    if (++filled < 4) continue;
    if (padded > 2) return null;
    for (let shift = 16; shift >= 8 * padded; shift -= 8) key += String.fromCharCode((group >> shift) & 255);
    group = 0;
    filled = 0;
  }
  return filled === 0 && key !== "" ? key : null;
}

/** What follows the padding is not decoded, but must still make whole groups. */
function countIsWhole(bytes: Uint8Array, start: number, end: number): boolean {
  let count = 0;
  for (let i = start; i < end; i++) if (VALUE_OF[bytes[i]!] !== SKIP || bytes[i] === PAD) count++;
  return count % 4 === 0;
}
