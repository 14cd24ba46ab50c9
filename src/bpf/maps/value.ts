/**
 * Copies of map values. A value's bpf_spin_lock is the map's own: an update leaves it as it is, userspace
 * reads it as zero (Linux copy_map_value, check_and_init_map_value).
 */
import type { LinearMemory } from "../memory.ts";
import type { MapDef } from "../program.ts";

const LOCK_BYTES = 4;
/** Up to here a loop beats the call of copyWithin (16 ns) or set. */
const LOOP_BYTES = 16;

/** Copies one value from `source[from..]` over the value at `to`, its lock excepted. */
export function copyValue(
  memory: LinearMemory,
  def: MapDef,
  to: number,
  source: Uint8Array,
  from: number,
): void {
  const lock = def.spinLockOffset;
  if (lock === undefined) {
    copyBytes(memory.bytes, to, source, from, def.valueBytes);
    return;
  }
  copyBytes(memory.bytes, to, source, from, lock);
  const after = lock + LOCK_BYTES;
  copyBytes(memory.bytes, to + after, source, from + after, def.valueBytes - after);
}

/** The ranges may lie in one array; they do not overlap unless a program asked for nonsense. */
export function copyBytes(
  target: Uint8Array,
  to: number,
  source: Uint8Array,
  from: number,
  length: number,
): void {
  if (length <= LOOP_BYTES) {
    for (let i = 0; i < length; i++) target[to + i] = source[from + i]!;
  } else if (target === source) {
    target.copyWithin(to, from, from + length);
  } else {
    target.set(source.subarray(from, from + length), to);
  }
}

/** A copy of the value at `at`, its lock zeroed. */
export function readValue(memory: LinearMemory, def: MapDef, at: number): Uint8Array {
  const copy = memory.bytes.slice(at, at + def.valueBytes);
  if (def.spinLockOffset !== undefined) copy.fill(0, def.spinLockOffset, def.spinLockOffset + LOCK_BYTES);
  return copy;
}
