/**
 * One entry of the hot map, as src/programs/hot_map.h lays it out for the programs; where entries lie is the
 * policy's affair (policy.ts). A test compares the offsets with the BTF of the built objects.
 *
 *   0 lock u32   4 hash u32   8 generation u32   12 writers u32   16 expires_ns u64   24 cas u64
 *   32 flags u32   36 value_len u16   38 key_len u8   39 state u8   40 key[256]   296 value[1024]
 */
import type { Key } from "../cold/store.ts";

export const HOT_ENTRY = {
  lock: 0,
  hash: 4,
  generation: 8,
  writers: 12,
  expiresNs: 16,
  cas: 24,
  flags: 32,
  valueLen: 36,
  keyLen: 38,
  state: 39,
  key: 40,
  value: 296,
} as const;
export const HOT_ENTRY_BYTES = 1_320;

/** Bits of `state`: the entry may be served; it was, since the hand last came by. */
export const STATE_VALID = 1;
export const STATE_REFERENCED = 2;

/** BMC's own limits (NSDI'21 §4): longer keys and values are always cold. */
export const HOT_KEY_MAX = 250;
export const HOT_VALUE_MAX = 1_000;

/** FNV-1a, 32 bit. */
export function fnv1a(key: Key): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
