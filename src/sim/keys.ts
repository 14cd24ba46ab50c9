/**
 * Keys as the programs see them. A key id, scrambled, becomes 16 bytes of lower-case hex (the length the BMC
 * evaluation used), and its slot follows from FNV-1a, 32 bit, over those bytes.
 */
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;
const HEX = Uint8Array.from("0123456789abcdef", (c) => c.charCodeAt(0));

/** FNV-1a, 32 bit, unsigned. */
export function fnv1a32(bytes: Uint8Array): number {
  let hash = FNV_OFFSET;
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, FNV_PRIME);
  return hash >>> 0;
}

export const KEY_BYTES = 16;

/** A bijection on 32 bits (murmur3's finalizer), so that neighbouring ranks do not get neighbouring slots. */
function scramble(id: number): number {
  let h = id | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** The key of an id below 2^32, as text. */
export function keyText(id: number): string {
  return scramble(id).toString(16).padStart(KEY_BYTES, "0");
}

// Scrambled ids stay below 2^32, so the first eight digits are always zeros: hashed once.
const PREFIX = fnv1a32(new Uint8Array(8).fill(0x30));

/** fnv1a32 of keyText(id), without the text. */
export function keyHash(id: number): number {
  const key = scramble(id);
  let hash = PREFIX;
  for (let shift = 28; shift >= 0; shift -= 4) {
    hash = Math.imul(hash ^ HEX[(key >>> shift) & 15]!, FNV_PRIME);
  }
  return hash >>> 0;
}
