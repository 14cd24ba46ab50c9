/**
 * Kernel functions (kfuncs) as data: one row a function, in the spirit of signatures.ts. A kernel numbers
 * them by its own BTF, so an object names them and the loader puts in the numbers of this table. These lie
 * above every BTF id (BTF_MAX_TYPE is 0xfffff): bytecode linked for some kernel is never mistaken for ours.
 * Names, prototypes and flags: Linux 6.18, kernel/bpf/bpf_iter.c and helpers.c as their BTF shows them.
 */
import { PROGRAM_TYPES, type ProgramType } from "../program.ts";
import type { ResultWire } from "./signatures.ts";

/** `iterator`: address of the iterator's 8 aligned bytes on the stack. `s32`: a number, read as an int. */
export type KfuncArg = "iterator" | "s32";

export type KfuncRow = {
  readonly id: number;
  readonly name: string;
  readonly args: readonly KfuncArg[];
  /** `element_or_null`: the address of a read-only int. */
  readonly ret: "integer" | "void" | "element_or_null";
  readonly wire: ResultWire;
  /** KF_ITER_NEW, KF_ITER_NEXT, KF_ITER_DESTROY. */
  readonly iterator: "new" | "next" | "destroy";
  readonly types: readonly ProgramType[];
  readonly underLock: boolean;
};

/** struct bpf_iter_num: opaque, one u64. */
export const ITERATOR_BYTES = 8;

const COMMON = { types: PROGRAM_TYPES, underLock: true } as const;

export const KFUNCS = [
  {
    id: 2_000_001,
    name: "bpf_iter_num_new",
    args: ["iterator", "s32", "s32"],
    ret: "integer",
    wire: "i32",
    iterator: "new",
    ...COMMON,
  },
  {
    id: 2_000_002,
    name: "bpf_iter_num_next",
    args: ["iterator"],
    ret: "element_or_null",
    wire: "u32",
    iterator: "next",
    ...COMMON,
  },
  {
    id: 2_000_003,
    name: "bpf_iter_num_destroy",
    args: ["iterator"],
    ret: "void",
    wire: "i32",
    iterator: "destroy",
    ...COMMON,
  },
] as const satisfies readonly KfuncRow[];

export type KfuncName = (typeof KFUNCS)[number]["name"];
type KnownKfunc = KfuncRow & { readonly name: KfuncName };

const BY_ID: ReadonlyMap<number, KnownKfunc> = new Map(KFUNCS.map((row) => [row.id, row]));
const BY_NAME: ReadonlyMap<string, KnownKfunc> = new Map(KFUNCS.map((row) => [row.name, row]));

export function kfuncById(id: number): KnownKfunc | undefined {
  return BY_ID.get(id);
}

export function kfuncByName(name: string): KnownKfunc | undefined {
  return BY_NAME.get(name);
}

/**
 * A weak function that this machine lacks may be called behind a test whether it is there: call number
 * ABSENT_KFUNC + n is the nth of the program's `absentKfuncs`. A path that reaches it is refused.
 */
export const ABSENT_KFUNC = 2_100_000;

export function isAbsentKfunc(id: number): boolean {
  return id >= ABSENT_KFUNC;
}
