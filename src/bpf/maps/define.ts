/**
 * Which map definitions Linux would create (man 2 bpf, and the errno it answers), by the table of shapes.ts.
 * Returned as values: the kernel room turns a refusal into a LoadError, the verifier into a verdict.
 */
import { isMapOfMaps, type MapDef } from "../program.ts";
import { ERRNO } from "./map.ts";
import { type Flaw, MAP_FLAG, SHAPES, type Shape } from "./shapes.ts";

export type MapProblem = { readonly errno: number; readonly message: string };

/** @returns null when Linux would create this map */
export function mapProblem(def: MapDef): MapProblem | null {
  const flaw = flawOf(def);
  if (!flaw) return null;
  const { message, errno = ERRNO.EINVAL } = flaw;
  return { errno, message: `map '${def.name}' (${def.type}): ${message}` };
}

function flawOf(def: MapDef): Flaw | null {
  const shape = SHAPES[def.type];
  return (
    checkSizes(def, shape) ??
    shape.also?.(def) ??
    checkFlags(def, shape) ??
    checkMost(def, shape) ??
    checkLock(def) ??
    (isMapOfMaps(def.type) ? checkInner(def.inner) : null)
  );
}

function checkSizes({ keyBytes, valueBytes, maxEntries }: MapDef, shape: Shape): Flaw | null {
  const [leastKey, mostKey] = shape.key;
  for (const [what, value, least] of [
    ["key_size", keyBytes, Math.min(leastKey, 1)],
    ["value_size", valueBytes, Math.min(shape.value?.[0] ?? 1, 1)],
    ["max_entries", maxEntries, 1],
  ] as const) {
    if (!Number.isInteger(value) || value < least || value > 0xffff_ffff) {
      return { message: `${what} is ${value}; it must be at least ${least}` };
    }
  }
  if (keyBytes < leastKey || keyBytes > mostKey) return keyFlaw(keyBytes, shape);
  if (shape.value && !shape.value.includes(valueBytes)) {
    return { message: `value_size is ${valueBytes}; it must be ${shape.value.join(" or ")}` };
  }
  return null;
}

function keyFlaw(keyBytes: number, { key: [least, most], keyErrno }: Shape): Flaw {
  const is = `key_size is ${keyBytes}`;
  if (most === 0) return { message: `${is}; there are no keys` };
  if (least === most) return { message: `${is}; an index is ${least} bytes` };
  if (least === 1) return { message: `${is}; at most ${most} bytes`, ...(keyErrno && { errno: keyErrno }) };
  return { message: `${is}; it must be ${least} to ${most}` };
}

function checkFlags({ flags }: MapDef, shape: Shape): Flaw | null {
  for (const both of [MAP_FLAG.rdonly | MAP_FLAG.wronly, MAP_FLAG.rdonlyProg | MAP_FLAG.wronlyProg]) {
    if ((flags & both) === both) return { message: "map_flags ask for read-only and write-only at once" };
  }
  if (flags & ~shape.flags) {
    return { message: `map_flags 0x${flags.toString(16)} has bits this type does not take` };
  }
  return null;
}

function checkMost(def: MapDef, shape: Shape): Flaw | null {
  const most = shape.most?.(def);
  if (most === undefined) return null;
  const errno = shape.mostErrno ?? ERRNO.E2BIG;
  if (most < 1) {
    return { message: `key_size is ${def.keyBytes}; at most ${def.keyBytes + most - 1} bytes`, errno };
  }
  const bytes = shape.isPerCpu ? roundUp8(def.valueBytes) : def.valueBytes;
  return bytes > most ? { message: `value_size is ${def.valueBytes}; at most ${most} bytes`, errno } : null;
}

function checkLock({ type, spinLockOffset, valueBytes }: MapDef): Flaw | null {
  if (spinLockOffset === undefined) return null;
  if (type !== "hash" && type !== "array") {
    return { message: "a bpf_spin_lock is allowed in hash and array values only", errno: ERRNO.EOPNOTSUPP };
  }
  if (spinLockOffset % 4 !== 0 || spinLockOffset + 4 > valueBytes) {
    return { message: `its bpf_spin_lock at ${spinLockOffset} is outside the value or misaligned` };
  }
  return null;
}

/** What a map of maps is created with: it tells what those inside are like. */
function checkInner(inner: MapDef | undefined): Flaw | null {
  if (!inner) return { message: "it is not said what the maps inside are like" };
  if (isMapOfMaps(inner.type)) return { message: "the maps inside hold maps: one level is all there is" };
  if (inner.type === "prog_array") {
    return { message: "a prog_array cannot be inside: no two are known to be alike", errno: ERRNO.ENOTSUPP };
  }
  const flaw = flawOf(inner);
  return flaw && { ...flaw, message: `the maps inside (${inner.type}): ${flaw.message}` };
}

export function roundUp8(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}
