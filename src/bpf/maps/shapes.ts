/**
 * What Linux asks of a map's sizes and flags when it creates one: a row a type, those of this machine and those
 * that only verify knows. define.ts holds definitions to it, a test holds it to the running kernel.
 */
import type { MapTypeName } from "../program.ts";
import { ERRNO } from "./map.ts";

/** Creation flags (Linux UAPI). */
export const MAP_FLAG = {
  noPrealloc: 1 << 0,
  noCommonLru: 1 << 1,
  numaNode: 1 << 2,
  rdonly: 1 << 3,
  wronly: 1 << 4,
  stackBuildId: 1 << 5,
  zeroSeed: 1 << 6,
  rdonlyProg: 1 << 7,
  wronlyProg: 1 << 8,
  mmapable: 1 << 10,
  preserveElems: 1 << 11,
  innerMap: 1 << 12,
} as const;
const ACCESS = MAP_FLAG.rdonly | MAP_FLAG.wronly | MAP_FLAG.rdonlyProg | MAP_FLAG.wronlyProg;
/** Of maps whose values are the kernel's own: programs, sockets, devices, maps. */
const USER_ACCESS = MAP_FLAG.rdonly | MAP_FLAG.wronly | MAP_FLAG.numaNode;
const PER_CPU_HASH = MAP_FLAG.zeroSeed | ACCESS;
const HASH = PER_CPU_HASH | MAP_FLAG.numaNode;

/** Linux MAX_BPF_STACK: the limit of sockhash keys; those of hashes lost it in Linux 6.x. */
const MAX_SOCKHASH_KEY_BYTES = 512;
/** The length of a prefix in bits before 1 to 256 bytes that match it. */
const PREFIX_BYTES = [5, 260] as const;
const INT_MAX = 0x7fff_ffff;
/** Linux KMALLOC_MAX_SIZE. */
const KMALLOC_BYTES = 4 * 1024 * 1024;
/** Key and value of a hash's element, its header beside them; the same of a trie, whose keys count in full. */
const HASH_ELEMENT_BYTES = KMALLOC_BYTES - 49;
const TRIE_VALUE_BYTES = KMALLOC_BYTES - 256 - 24;
/** Linux PCPU_MIN_UNIT_SIZE. */
const PER_CPU_BYTES = 32 * 1024;
/** Linux kernel.perf_event_max_stack where nobody has set it: frames of 8 bytes, or of 32 with a build id. */
const STACK_FRAMES = 127;
const FRAME_BYTES = 8;
const BUILD_ID_FRAME_BYTES = 32;
const PAGE_BYTES = 4096;
/** Linux NR_CPUS as distributions build it; a kernel built for fewer CPUs takes fewer. */
const CPUS = 8192;

type Sizes = {
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly maxEntries: number;
  readonly flags: number;
};
/** What is wrong with sizes and flags; `errno` EINVAL where it says none. */
export type Flaw = { readonly message: string; readonly errno?: number };

export type Shape = {
  /** Least and most bytes of a key. */
  readonly key: readonly [least: number, most: number];
  readonly keyErrno?: number;
  /** Bytes a value may have; absent: 1 or more, within `most`. */
  readonly value?: readonly number[];
  readonly flags: number;
  /** Of a value that would be one byte longer than any is. */
  readonly most?: (sizes: Sizes) => number;
  readonly mostErrno?: number;
  readonly isPerCpu?: true;
  readonly also?: (sizes: Sizes) => Flaw | null;
};

const INDEX = [4, 4] as const;
const BYTES = [1, 0xffff_ffff] as const;
const NONE = [0, 0] as const;
const HANDLE = [4];
const HANDLE_OR_PAIR = [4, 8];

const inElement = ({ keyBytes }: Sizes) => HASH_ELEMENT_BYTES - keyBytes;
const perCpu = { most: () => PER_CPU_BYTES, isPerCpu: true } as const;
const queue: Shape = { key: NONE, flags: MAP_FLAG.numaNode | ACCESS, most: () => KMALLOC_BYTES };
const devices: Shape = { key: INDEX, value: HANDLE_OR_PAIR, flags: USER_ACCESS };

export const SHAPES: Readonly<Record<MapTypeName, Shape>> = {
  array: {
    key: INDEX,
    flags: ACCESS | MAP_FLAG.numaNode | MAP_FLAG.mmapable | MAP_FLAG.innerMap,
    most: () => INT_MAX,
  },
  percpu_array: { key: INDEX, flags: ACCESS, ...perCpu },
  hash: { key: BYTES, flags: HASH | MAP_FLAG.noPrealloc, most: inElement },
  lru_hash: { key: BYTES, flags: HASH | MAP_FLAG.noCommonLru, most: inElement, also: checkLru },
  percpu_hash: { key: BYTES, flags: PER_CPU_HASH | MAP_FLAG.noPrealloc, ...perCpu },
  prog_array: { key: INDEX, value: HANDLE, flags: USER_ACCESS },
  sockmap: { key: INDEX, value: HANDLE_OR_PAIR, flags: USER_ACCESS },
  sockhash: {
    key: [1, MAX_SOCKHASH_KEY_BYTES],
    keyErrno: ERRNO.E2BIG,
    value: HANDLE_OR_PAIR,
    flags: USER_ACCESS,
  },
  perf_event_array: { key: INDEX, value: HANDLE, flags: USER_ACCESS | MAP_FLAG.preserveElems },
  stack_trace: { key: INDEX, flags: USER_ACCESS | MAP_FLAG.stackBuildId, also: checkFrames },
  cgroup_array: { key: INDEX, value: HANDLE, flags: USER_ACCESS },
  lru_percpu_hash: { key: BYTES, flags: PER_CPU_HASH | MAP_FLAG.noCommonLru, ...perCpu, also: checkLru },
  lpm_trie: {
    key: PREFIX_BYTES,
    flags: MAP_FLAG.numaNode | ACCESS | MAP_FLAG.noPrealloc,
    most: () => TRIE_VALUE_BYTES,
    mostErrno: ERRNO.EINVAL,
    also: ({ flags }) =>
      flags & MAP_FLAG.noPrealloc ? null : { message: "a trie needs map_flags BPF_F_NO_PREALLOC" },
  },
  array_of_maps: { key: INDEX, value: HANDLE, flags: USER_ACCESS },
  hash_of_maps: { key: BYTES, value: HANDLE, flags: HASH | MAP_FLAG.noPrealloc, most: inElement },
  devmap: devices,
  devmap_hash: devices,
  cpumap: {
    key: INDEX,
    value: HANDLE_OR_PAIR,
    flags: MAP_FLAG.numaNode,
    also: ({ maxEntries }) =>
      maxEntries > CPUS
        ? { message: `max_entries is ${maxEntries}; at most ${CPUS} CPUs`, errno: ERRNO.E2BIG }
        : null,
  },
  xskmap: { key: INDEX, value: HANDLE, flags: USER_ACCESS },
  queue,
  stack: queue,
  ringbuf: { key: NONE, value: [0], flags: MAP_FLAG.numaNode, also: checkPages },
  bloom_filter: { ...queue, flags: MAP_FLAG.numaNode | MAP_FLAG.zeroSeed | ACCESS },
};

function checkLru({ flags }: Sizes): Flaw | null {
  if (flags & MAP_FLAG.noPrealloc) {
    return { message: "BPF_F_NO_PREALLOC: an LRU map is always preallocated", errno: ERRNO.ENOTSUPP };
  }
  if (flags & MAP_FLAG.noCommonLru && flags & MAP_FLAG.numaNode) {
    return { message: "BPF_F_NO_COMMON_LRU: lists of each CPU are of no one NUMA node" };
  }
  return null;
}

function checkFrames({ valueBytes, flags }: Sizes): Flaw | null {
  const frame = flags & MAP_FLAG.stackBuildId ? BUILD_ID_FRAME_BYTES : FRAME_BYTES;
  if (valueBytes % frame === 0 && valueBytes <= STACK_FRAMES * frame) return null;
  return { message: `value_size is ${valueBytes}; it must be 1 to ${STACK_FRAMES} frames of ${frame} bytes` };
}

function checkPages({ maxEntries }: Sizes): Flaw | null {
  // In arithmetic of doubles: sizes reach 2^32 - 1.
  if (maxEntries % PAGE_BYTES === 0 && Number.isInteger(Math.log2(maxEntries))) return null;
  return {
    message: `max_entries is ${maxEntries}; a ring has a power of two of bytes, in whole pages of ${PAGE_BYTES}`,
  };
}
