/**
 * Which map definitions Linux would create (man 2 bpf, and the errno it answers). A table: one row a type.
 * Returned as values: the kernel room turns a refusal into a LoadError.
 */
import { type EmulatedMapType, isEmulated, type MapDef } from "../program.ts";
import { ERRNO } from "./map.ts";

/** Creation flags (Linux UAPI). */
export const MAP_FLAG = {
  noPrealloc: 1 << 0,
  noCommonLru: 1 << 1,
  numaNode: 1 << 2,
  rdonly: 1 << 3,
  wronly: 1 << 4,
  zeroSeed: 1 << 6,
  rdonlyProg: 1 << 7,
  wronlyProg: 1 << 8,
  mmapable: 1 << 10,
  preserveElems: 1 << 11,
  innerMap: 1 << 12,
} as const;
const ACCESS = MAP_FLAG.rdonly | MAP_FLAG.wronly | MAP_FLAG.rdonlyProg | MAP_FLAG.wronlyProg;
const USER_ACCESS = MAP_FLAG.rdonly | MAP_FLAG.wronly | MAP_FLAG.numaNode;
const HASH_FLAGS = MAP_FLAG.numaNode | MAP_FLAG.zeroSeed | ACCESS;

/** Linux MAX_BPF_STACK: the limit of sockhash keys; those of hashes lost it in Linux 6.x. */
const MAX_SOCKHASH_KEY_BYTES = 512;
/** Linux KMALLOC_MAX_SIZE less an element's header. */
const MAX_ELEMENT_BYTES = 4 * 1024 * 1024 - 48;
/** Linux PCPU_MIN_UNIT_SIZE. */
const MAX_PER_CPU_VALUE_BYTES = 32 * 1024;
const INT_MAX = 0x7fff_ffff;

type Shape = {
  readonly key: "index" | "bytes";
  readonly valueBytes: readonly number[] | null;
  readonly flags: number;
  readonly perCpu?: true;
};

const SHAPES: Readonly<Record<EmulatedMapType, Shape>> = {
  array: {
    key: "index",
    valueBytes: null,
    flags: ACCESS | MAP_FLAG.numaNode | MAP_FLAG.mmapable | MAP_FLAG.preserveElems | MAP_FLAG.innerMap,
  },
  percpu_array: { key: "index", valueBytes: null, flags: ACCESS, perCpu: true },
  hash: { key: "bytes", valueBytes: null, flags: HASH_FLAGS | MAP_FLAG.noPrealloc },
  lru_hash: { key: "bytes", valueBytes: null, flags: HASH_FLAGS | MAP_FLAG.noCommonLru },
  percpu_hash: { key: "bytes", valueBytes: null, flags: HASH_FLAGS | MAP_FLAG.noPrealloc, perCpu: true },
  prog_array: { key: "index", valueBytes: [4], flags: USER_ACCESS | ACCESS },
  sockmap: { key: "index", valueBytes: [4, 8], flags: USER_ACCESS },
  sockhash: { key: "bytes", valueBytes: [4, 8], flags: USER_ACCESS },
};

export type MapProblem = { readonly errno: number; readonly message: string };

/** @returns null when Linux would create this map */
export function mapProblem(def: MapDef): MapProblem | null {
  const bad = (message: string, errno: number = ERRNO.EINVAL): MapProblem => ({
    errno,
    message: `map '${def.name}' (${def.type}): ${message}`,
  });
  if (!isEmulated(def.type)) {
    return bad("this machine has no map of this type; verify judges it, run does not");
  }
  const shape = SHAPES[def.type];
  for (const [what, value] of [
    ["key_size", def.keyBytes],
    ["value_size", def.valueBytes],
    ["max_entries", def.maxEntries],
  ] as const) {
    if (!Number.isInteger(value) || value < 1 || value > 0xffff_ffff) {
      return bad(`${what} is ${value}; it must be at least 1`);
    }
  }
  if (shape.key === "index" && def.keyBytes !== 4) {
    return bad(`key_size is ${def.keyBytes}; an index is 4 bytes`);
  }
  if (def.type === "sockhash" && def.keyBytes > MAX_SOCKHASH_KEY_BYTES) {
    return bad(`key_size is ${def.keyBytes}; at most ${MAX_SOCKHASH_KEY_BYTES} bytes`, ERRNO.E2BIG);
  }
  if (shape.valueBytes && !shape.valueBytes.includes(def.valueBytes)) {
    return bad(`value_size is ${def.valueBytes}; it must be ${shape.valueBytes.join(" or ")}`);
  }
  if (def.type === "lru_hash" && def.flags & MAP_FLAG.noPrealloc) {
    return bad("BPF_F_NO_PREALLOC: an LRU map is always preallocated", ERRNO.ENOTSUPP);
  }
  for (const both of [MAP_FLAG.rdonly | MAP_FLAG.wronly, MAP_FLAG.rdonlyProg | MAP_FLAG.wronlyProg]) {
    if ((def.flags & both) === both) return bad("map_flags ask for read-only and write-only at once");
  }
  if (def.flags & ~shape.flags) {
    return bad(`map_flags 0x${def.flags.toString(16)} has bits this type does not take`);
  }
  const most = shape.perCpu
    ? MAX_PER_CPU_VALUE_BYTES
    : shape.key === "index"
      ? INT_MAX
      : MAX_ELEMENT_BYTES - def.keyBytes;
  const rounded = shape.perCpu ? roundUp8(def.valueBytes) : def.valueBytes;
  if (most < 1) return bad(`key_size is ${def.keyBytes}; at most ${MAX_ELEMENT_BYTES} bytes`, ERRNO.E2BIG);
  if (rounded > most) return bad(`value_size is ${def.valueBytes}; at most ${most} bytes`, ERRNO.E2BIG);
  if (def.spinLockOffset !== undefined) {
    if (shape.perCpu || shape.valueBytes || def.type === "lru_hash") {
      return bad("a bpf_spin_lock is allowed in hash and array values only", ERRNO.EOPNOTSUPP);
    }
    if (def.spinLockOffset % 4 !== 0 || def.spinLockOffset + 4 > def.valueBytes) {
      return bad(`its bpf_spin_lock at ${def.spinLockOffset} is outside the value or misaligned`);
    }
  }
  return null;
}

export function roundUp8(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}
