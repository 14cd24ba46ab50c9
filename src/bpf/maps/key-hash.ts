/**
 * Hash and comparison of keys where they lie, without allocating: 32-bit words first, then the tail bytes.
 * The mixing is MurmurHash3's (public domain): cheap, and seeded, so that keys from the network cannot be
 * chosen to collide.
 */
export function hashKey(view: DataView, at: number, length: number, seed: number): number {
  let hash = seed;
  let offset = 0;
  for (; offset + 4 <= length; offset += 4) hash = mix(hash, view.getInt32(at + offset, true));
  if (offset < length) {
    let tail = 0;
    for (let shift = 0; offset < length; offset++, shift += 8) tail |= view.getUint8(at + offset) << shift;
    hash = mix(hash, tail);
  }
  hash ^= length;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

function mix(hash: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  const h = hash ^ k;
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
}

export function keysEqual(view: DataView, a: number, b: number, length: number): boolean {
  let offset = 0;
  for (; offset + 4 <= length; offset += 4) {
    if (view.getInt32(a + offset, true) !== view.getInt32(b + offset, true)) return false;
  }
  for (; offset < length; offset++) {
    if (view.getUint8(a + offset) !== view.getUint8(b + offset)) return false;
  }
  return true;
}
