/**
 * What an object file (or the assembler) yields and the kernel loads: programs as bytecode, map
 * definitions, and the debug facts that let messages name a C line. Plain data; no behaviour.
 */

/** Program types this machine knows, by the name `bmc --type` takes. */
export const PROGRAM_TYPES = ["xdp", "tc", "sk_skb", "socket_filter"] as const;
export type ProgramType = (typeof PROGRAM_TYPES)[number];

/** For sk_skb: which end of the strparser pair. */
export type AttachType = "stream_parser" | "stream_verdict";

export const MAP_TYPES = [
  { name: "hash", id: 1 },
  { name: "array", id: 2 },
  { name: "prog_array", id: 3 },
  { name: "percpu_hash", id: 5 },
  { name: "percpu_array", id: 6 },
  { name: "lru_hash", id: 9 },
  { name: "sockmap", id: 15 },
  { name: "sockhash", id: 18 },
] as const; // ids: enum bpf_map_type of the Linux UAPI
export type EmulatedMapType = (typeof MAP_TYPES)[number]["name"];

/** Linux has them and this machine has not: verify judges programs that use them, nothing runs them. */
const VERIFIED_MAP_TYPES = [
  { name: "perf_event_array", id: 4 },
  { name: "stack_trace", id: 7 },
  { name: "cgroup_array", id: 8 },
  { name: "lru_percpu_hash", id: 10 },
  { name: "lpm_trie", id: 11 },
  { name: "array_of_maps", id: 12 },
  { name: "hash_of_maps", id: 13 },
  { name: "devmap", id: 14 },
  { name: "cpumap", id: 16 },
  { name: "xskmap", id: 17 },
  { name: "queue", id: 22 },
  { name: "stack", id: 23 },
  { name: "devmap_hash", id: 25 },
  { name: "ringbuf", id: 27 },
  { name: "bloom_filter", id: 30 },
] as const;
export const LINUX_MAP_TYPES = [...MAP_TYPES, ...VERIFIED_MAP_TYPES] as const;
export type MapTypeName = (typeof LINUX_MAP_TYPES)[number]["name"];

export function isEmulated(type: MapTypeName): type is EmulatedMapType {
  return MAP_TYPES.some((row) => row.name === type);
}

/** Their values are maps, all like the one they were created with. */
export function isMapOfMaps(type: MapTypeName): boolean {
  return type === "array_of_maps" || type === "hash_of_maps";
}

/** A part of a map's value that the kernel keeps: `bpf_timer`, `kptr` and such. Offset and size in bytes. */
export type KernelField = { readonly name: string; readonly offset: number; readonly bytes: number };

export type MapDef = {
  readonly name: string;
  readonly type: MapTypeName;
  readonly keyBytes: number;
  /** Of one value as the program sees it; per-CPU maps hold one such value a CPU. */
  readonly valueBytes: number;
  readonly maxEntries: number;
  readonly flags: number;
  /** Byte offset of the value's `struct bpf_spin_lock`, from BTF; absent when it has none. */
  readonly spinLockOffset?: number;
  /** Other parts of the value that are the kernel's, from BTF; absent when there are none. */
  readonly kernelFields?: readonly KernelField[];
  /** .rodata/.data/.bss: initial bytes of the single value. */
  readonly initialValue?: Uint8Array;
  /** .rodata: the program may read, not write (BPF_F_RDONLY_PROG). */
  readonly readOnlyForPrograms?: boolean;
  /** Maps of maps: what each map inside is like. A look-up yields a map of this very definition, without a name. */
  readonly inner?: MapDef;
  /** prog_array: names of the object's programs to put into the slots (libbpf's `values`); null: empty. */
  readonly initialPrograms?: readonly (string | null)[];
};

/** One line-info record: instructions from `insn` on (until the next record) came from this C line. */
export type LineInfo = {
  readonly insn: number;
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly text: string;
};

/** A BTF argument of a global function, as far as verification needs it. */
export type FuncArg =
  | { readonly kind: "scalar"; readonly bytes: number }
  | { readonly kind: "ctx" }
  | {
      readonly kind: "pointer";
      readonly pointeeBytes: number;
      readonly typeName: string;
      /** `arg:nonnull`: callers prove that it is not NULL. */
      readonly nonNull?: true;
    }
  /** One that no call can be checked against: why, in the kernel's words behind `arg#N `. */
  | { readonly kind: "unusable"; readonly problem: string };

/** A subprogram: entry slots of functions called with `call pc+N` or passed as callbacks. */
export type Subprogram = {
  readonly name: string;
  /** Slot index of its first instruction; the entry program is 0. */
  readonly start: number;
  /** Global functions are verified once by their prototype; static ones inline on each path. */
  readonly isGlobal: boolean;
  readonly args?: readonly FuncArg[];
  /** It returns a pointer, a struct or nothing: a global function must not. */
  readonly returnsNoScalar?: true;
};

/**
 * One program, linked within its object: `bytecode` holds the entry function and every subprogram it
 * reaches; wide loads of kind map/map_value carry an index into `maps` as their imm.
 */
export type Program = {
  readonly name: string;
  readonly section: string;
  readonly type: ProgramType;
  readonly attach?: AttachType;
  readonly bytecode: Uint8Array;
  readonly maps: readonly MapDef[];
  readonly subprograms: readonly Subprogram[];
  readonly lines: readonly LineInfo[];
  readonly license: string;
  /** Weak kernel functions this machine lacks, in the order of their call numbers (ABSENT_KFUNC). */
  readonly absentKfuncs?: readonly string[];
  /** What the user should know before trusting this program, such as relocations not applied. */
  readonly warnings?: readonly string[];
};

/** A function of an object that could not become a program, and why, in one sentence. */
export type SkippedProgram = { readonly name: string; readonly section: string; readonly reason: string };

/** Everything one ELF object holds. Programs of one object share its maps: equal MapDef identity. */
export type ProgramObject = {
  readonly programs: readonly Program[];
  readonly maps: readonly MapDef[];
  readonly license: string;
  readonly skipped?: readonly SkippedProgram[];
};
