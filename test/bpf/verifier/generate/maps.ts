/** The maps generated programs use. One object each, so that all programs of a kernel share them. */
import type { MapDef } from "../../../../src/bpf/program.ts";

export const VALUE_BYTES = 64;

const map = (name: string, type: MapDef["type"], keyBytes: number, valueBytes: number, maxEntries: number) =>
  ({ name, type, keyBytes, valueBytes, maxEntries, flags: 0 }) satisfies MapDef;

export const FUZZ_MAPS = {
  /** One value every program looks up first. */
  array: map("fuzz", "array", 4, VALUE_BYTES, 1),
  slots: map("slots", "array", 4, 16, 4),
  hash: map("table", "hash", 8, 32, 8),
  percpu: map("percpu", "percpu_array", 4, 16, 2),
  locked: { ...map("locked", "hash", 8, 32, 4), spinLockOffset: 0 },
  lockedLate: { ...map("locked_late", "hash", 8, 32, 4), spinLockOffset: 8 },
  programs: map("programs", "prog_array", 4, 4, 2),
} as const satisfies Record<string, MapDef>;
export type FuzzMapName = keyof typeof FUZZ_MAPS;

/** Keys that may be there: 0 to 3, as wide as the map's keys. */
export const KEYS = [0, 1, 2, 3] as const;

export function keyOf(def: MapDef, key: number): Uint8Array {
  const bytes = new Uint8Array(def.keyBytes);
  new DataView(bytes.buffer).setUint32(0, key, true);
  return bytes;
}

/** Keys of a map whose values a run may look at and change. */
export function keysIn(def: MapDef): number[] {
  if (def.type === "prog_array") return [];
  return KEYS.filter((key) => def.type === "hash" || key < def.maxEntries);
}
