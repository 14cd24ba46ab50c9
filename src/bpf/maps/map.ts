/**
 * The contract of every map. Values live in linear memory, so that a program's pointer to one is an
 * address and the JIT can inline array look-ups. Results are kernel errnos: 0 or a negative number.
 * Programs address keys and values by pointer; userspace (the control plane) by byte arrays.
 */
import type { MapDef } from "../program.ts";

/** Errnos that map operations return (Linux UAPI), positive here, negated in results. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  EINVAL: 22,
  ENOSPC: 28,
  EOPNOTSUPP: 95,
  ENOTSUPP: 524,
} as const;

/** Flags of update (BPF_ANY, BPF_NOEXIST, BPF_EXIST). */
export const UPDATE = { any: 0, noExist: 1, exist: 2, lock: 4 } as const;

/** The flags of an update taken apart, or null when some mean nothing (-EINVAL). */
export function updateKind(flags: bigint, hasLock: boolean): { kind: number; locked: boolean } | null {
  if (flags > 6n) return null;
  return UPDATE_KINDS[hasLock ? 1 : 0]![Number(flags)]!;
}

/** By whether the value has a lock, then by flags 0..6: made once, so that an update allocates nothing. */
const UPDATE_KINDS = [false, true].map((hasLock) =>
  [0, 1, 2, 3, 4, 5, 6].map((flags) => {
    const kind = flags & 3;
    const locked = (flags & UPDATE.lock) !== 0;
    return kind === 3 || (locked && !hasLock) ? null : { kind, locked };
  }),
);

/** Where a map's values lie: `count` of them, `strideBytes` apart, each `valueBytes` long. */
export type ValueArea = {
  readonly base: number;
  readonly strideBytes: number;
  readonly valueBytes: number;
  readonly count: number;
};

/** Pointer arguments may be negative (an i32 of compiled code): maps take them modulo 2^32. */
export interface BpfMap {
  readonly def: MapDef;
  /** What a program's wide load of this map yields: > 0, unique in its kernel. */
  readonly id: number;
  /** Null for maps without values in memory (program arrays, socket maps). */
  readonly values: ValueArea | null;
  /** Bytes of linear memory this map took. */
  readonly memoryBytes: number;

  /** Address of the value for the key at `keyPtr` on the current CPU, or 0. */
  lookup(keyPtr: number): number;
  /** @returns 0 or -errno. `flags` is the whole u64 of the call. */
  update(keyPtr: number, valuePtr: number, flags: bigint): number;
  delete(keyPtr: number): number;

  /** Userspace view: a copy of the value, or null. Per-CPU maps return the values of all CPUs in a row. */
  get(key: Uint8Array): Uint8Array | null;
  set(key: Uint8Array, value: Uint8Array, flags?: bigint): number;
  remove(key: Uint8Array): number;
  /** Live entries, as `bpftool map dump` would list them. */
  entries(): Iterable<[key: Uint8Array, value: Uint8Array]>;
  /** Number of live entries (arrays: all). */
  readonly size: number;
  /**
   * In a shared memory, of maps with a lock of their own: a CPU that has gone held the lock at this address. Is it
   * this map's? Then it was made whole again, and the lock may be freed.
   */
  recover?(lock: number): boolean;
}

/** Array-shaped maps: what the JIT needs to inline a look-up. */
export interface ArrayLike extends BpfMap {
  readonly baseAddress: number;
  /** Distance between elements: value size rounded up to 8. */
  readonly strideBytes: number;
  /** Distance between the arrays of two CPUs; 0 when all CPUs share one. */
  readonly cpuStrideBytes: number;
}
