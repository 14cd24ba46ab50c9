/**
 * memcached's slab classes at its defaults (growth 1.25 from 96 bytes, 8-byte steps): `me` and `stats`
 * name an item's class, though a JavaScript heap has none.
 */
const SMALLEST_BYTES = 96;
const LARGEST_BYTES = 524_288;
const GROWTH = 1.25;

export const SLAB_CHUNK_BYTES: readonly number[] = (() => {
  const sizes: number[] = [];
  for (let size = SMALLEST_BYTES; size <= LARGEST_BYTES / GROWTH; size *= GROWTH) {
    size = Math.ceil(Math.floor(size) / 8) * 8;
    sizes.push(size);
  }
  return [...sizes, LARGEST_BYTES];
})();

/** 1-based, as memcached counts; larger items are chunked in the last class. */
export function slabClass(itemBytes: number): number {
  const index = SLAB_CHUNK_BYTES.findIndex((size) => size >= itemBytes);
  return index < 0 ? SLAB_CHUNK_BYTES.length : index + 1;
}
