/**
 * The eBPF instruction set as data (RFC 9669). Decoder, encoder, assembler, disassembler, verifier,
 * interpreter and JIT read these tables; no other file spells an opcode number.
 *
 * Layout of one slot, little-endian (RFC 9669 §3.1); a wide instruction takes two slots:
 *   byte 0 [opcode]   1 [src:4 | dst:4]   2..3 [offset s16]   4..7 [imm s32]
 *   opcode, arithmetic and jumps:  [op:4 | source:1 | class:3]
 *   opcode, loads and stores:      [mode:3 | size:2 | class:3]
 *
 * A u64 is a bigint wherever a whole value is meant; immediates and offsets are signed numbers.
 */

/** RFC 9669 §2.4 conformance groups, with the deprecated packet group. */
export const CONFORMANCE_GROUPS = [
  "base32",
  "base64",
  "atomic32",
  "atomic64",
  "divmul32",
  "divmul64",
  "packet",
] as const;
export type ConformanceGroup = (typeof CONFORMANCE_GROUPS)[number];

export type Width = 32 | 64;
export type Bytes = 1 | 2 | 4 | 8;
/** Register number, 0..10. r10 is the read-only frame pointer. */
export type Reg = number;

export const INSN_BYTES = 8;
export const REGISTER_COUNT = 11;
export const FRAME_POINTER: Reg = 10;
/** Stack of one program in bytes, all frames together (Linux MAX_BPF_STACK). */
export const STACK_BYTES = 512;
/** Frames on the call chain, the entry program included (Linux MAX_CALL_FRAMES). */
export const MAX_FRAMES = 8;
/** Tail calls one run may take (Linux MAX_TAIL_CALL_CNT). */
export const MAX_TAIL_CALLS = 33;

/** Iterations one bpf_loop, iterator or the may_gotos of one function's run may make (Linux BPF_MAX_LOOPS). */
export const MAX_LOOPS = 1 << 23;

/** RFC 9669 §3.1: instruction classes. */
export const CLASS = {
  ld: 0x00,
  ldx: 0x01,
  st: 0x02,
  stx: 0x03,
  alu: 0x04,
  jmp: 0x05,
  jmp32: 0x06,
  alu64: 0x07,
} as const;

/** RFC 9669 §4.1. `off` 1 selects the signed division and modulo; it is not part of the opcode byte. */
export const ALU_OPS = [
  { name: "add", code: 0x00, off: 0, group: "base", sign: "+=" },
  { name: "sub", code: 0x10, off: 0, group: "base", sign: "-=" },
  { name: "mul", code: 0x20, off: 0, group: "divmul", sign: "*=" },
  { name: "div", code: 0x30, off: 0, group: "divmul", sign: "/=" }, // x / 0 is 0, not a trap
  { name: "sdiv", code: 0x30, off: 1, group: "divmul", sign: "s/=" }, // MIN / -1 is MIN
  { name: "or", code: 0x40, off: 0, group: "base", sign: "|=" },
  { name: "and", code: 0x50, off: 0, group: "base", sign: "&=" },
  { name: "lsh", code: 0x60, off: 0, group: "base", sign: "<<=" }, // count masked to the width
  { name: "rsh", code: 0x70, off: 0, group: "base", sign: ">>=" },
  { name: "neg", code: 0x80, off: 0, group: "base", sign: "-" }, // unary: no operand
  { name: "mod", code: 0x90, off: 0, group: "divmul", sign: "%=" }, // x % 0 leaves x
  { name: "smod", code: 0x90, off: 1, group: "divmul", sign: "s%=" }, // MIN % -1 is 0
  { name: "xor", code: 0xa0, off: 0, group: "base", sign: "^=" },
  { name: "mov", code: 0xb0, off: 0, group: "base", sign: "=" },
  { name: "arsh", code: 0xc0, off: 0, group: "base", sign: "s>>=" },
] as const;
export type AluOp = (typeof ALU_OPS)[number]["name"];

/** RFC 9669 §4.1, §4.2: encodings beside the two-operand table above. */
export const ALU_MOV_CODE = 0xb0;
export const ALU_NEG_CODE = 0x80;
export const ALU_END_CODE = 0xd0;
/** Source bit: the operand is a register (X) instead of the immediate (K). */
export const SOURCE_X = 0x08;
/** Widths a sign-extending move takes, by the width of its result (RFC 9669 §4.1, `off`). */
export const MOVSX_BITS = { 32: [8, 16], 64: [8, 16, 32] } as const;
export const SWAP_BITS = [16, 32, 64] as const;
export type SwapOrder = "le" | "be" | "bswap";

/** RFC 9669 §4.3: conditional jumps. */
export const JUMP_OPS = [
  { name: "eq", code: 0x10, sign: "==" },
  { name: "gt", code: 0x20, sign: ">" },
  { name: "ge", code: 0x30, sign: ">=" },
  { name: "set", code: 0x40, sign: "&" },
  { name: "ne", code: 0x50, sign: "!=" },
  { name: "sgt", code: 0x60, sign: "s>" },
  { name: "sge", code: 0x70, sign: "s>=" },
  { name: "lt", code: 0xa0, sign: "<" },
  { name: "le", code: 0xb0, sign: "<=" },
  { name: "slt", code: 0xc0, sign: "s<" },
  { name: "sle", code: 0xd0, sign: "s<=" },
] as const;
export type JumpOp = (typeof JUMP_OPS)[number]["name"];

export const JUMP_JA_CODE = 0x00;
export const JUMP_CALL_CODE = 0x80;
export const JUMP_EXIT_CODE = 0x90;
/** Linux BPF_JCOND, 6.9 on; RFC 9669 has no such jump. Its one source, 0, is may_goto. */
export const JUMP_COND_CODE = 0xe0;

/** RFC 9669 §4.3.1: what `src` of a call says about `imm`. */
export const CALL_SRC = { helper: 0, local: 1, kfunc: 2 } as const;

/** RFC 9669 §5: sizes, opcode bits 3..4. */
export const SIZES = [
  { bytes: 4, code: 0x00, type: "u32", signedType: "s32" },
  { bytes: 2, code: 0x08, type: "u16", signedType: "s16" },
  { bytes: 1, code: 0x10, type: "u8", signedType: "s8" },
  { bytes: 8, code: 0x18, type: "u64", signedType: "s64" },
] as const satisfies readonly { bytes: Bytes; code: number; type: string; signedType: string }[];

/** RFC 9669 §5: modes, opcode bits 5..7. `abs` and `ind` are the deprecated packet group (§5.5). */
export const MODE = { imm: 0x00, abs: 0x20, ind: 0x40, mem: 0x60, memsx: 0x80, atomic: 0xc0 } as const;

/** The one opcode that takes two slots (RFC 9669 §5.4), and the one that calls by number. */
export const WIDE_OPCODE = CLASS.ld | MODE.imm | SIZES[3].code;
export const CALL_OPCODE = CLASS.jmp | JUMP_CALL_CODE;

/** RFC 9669 §5.3: atomic operations, in `imm`. */
export const ATOMIC_OPS = [
  { name: "add", imm: 0x00, fetch: false, sign: "+=" },
  { name: "or", imm: 0x40, fetch: false, sign: "|=" },
  { name: "and", imm: 0x50, fetch: false, sign: "&=" },
  { name: "xor", imm: 0xa0, fetch: false, sign: "^=" },
  { name: "add", imm: 0x01, fetch: true, sign: "fetch_add" },
  { name: "or", imm: 0x41, fetch: true, sign: "fetch_or" },
  { name: "and", imm: 0x51, fetch: true, sign: "fetch_and" },
  { name: "xor", imm: 0xa1, fetch: true, sign: "fetch_xor" },
  { name: "xchg", imm: 0xe1, fetch: true, sign: "xchg" },
  { name: "cmpxchg", imm: 0xf1, fetch: true, sign: "cmpxchg" }, // compares with and loads into r0
] as const;
export type AtomicOp = (typeof ATOMIC_OPS)[number]["name"];

/** RFC 9669 §5.4: `src` of a wide load says what its 64 bits name. `func` is Linux's BPF_PSEUDO_FUNC. */
export const WIDE_SRC = [
  { name: "imm", src: 0 },
  { name: "map", src: 1 }, // imm: index into the program's map list
  { name: "map_value", src: 2 }, // imm: map index, next imm: byte offset into its first value
  { name: "var", src: 3 },
  { name: "func", src: 4 }, // imm: instruction offset, as a local call
  { name: "map_idx", src: 5 },
  { name: "map_idx_value", src: 6 },
] as const;
export type WideKind = (typeof WIDE_SRC)[number]["name"];

/**
 * One decoded instruction. Jump and call offsets are as encoded: in slots, relative to the next
 * instruction; `src: null` means the operand is `imm`, sign-extended to the operation's width.
 */
export type Instruction =
  | { kind: "alu"; op: Exclude<AluOp, "neg">; width: Width; dst: Reg; src: Reg | null; imm: number }
  | { kind: "neg"; width: Width; dst: Reg }
  | { kind: "movsx"; width: Width; bits: 8 | 16 | 32; dst: Reg; src: Reg }
  | { kind: "swap"; order: SwapOrder; bits: 16 | 32 | 64; dst: Reg }
  | { kind: "jump"; off: number; long: boolean }
  | { kind: "branch"; op: JumpOp; width: Width; dst: Reg; src: Reg | null; imm: number; off: number }
  | { kind: "may_goto"; off: number } // falls through while its function has rounds left
  | { kind: "call"; target: "helper" | "kfunc"; id: number }
  | { kind: "call"; target: "local"; off: number }
  | { kind: "call"; target: "register"; reg: Reg } // not in RFC 9669; unverified runs only
  | { kind: "exit" }
  | { kind: "load"; bytes: Bytes; signed: boolean; dst: Reg; src: Reg; off: number }
  | { kind: "store"; bytes: Bytes; dst: Reg; off: number; src: Reg | null; imm: number }
  | { kind: "atomic"; op: AtomicOp; fetch: boolean; bytes: 4 | 8; dst: Reg; src: Reg; off: number }
  | { kind: "packet"; bytes: 1 | 2 | 4; src: Reg | null; imm: number } // null: absolute
  | { kind: "wide"; pseudo: WideKind; dst: Reg; imm: number; imm2: number };

export type InstructionKind = Instruction["kind"];

/** The whole 64-bit constant of a wide load (RFC 9669 §5.4). */
export function wideValue(insn: { imm: number; imm2: number }): bigint {
  return (BigInt(insn.imm2 >>> 0) << 32n) | BigInt(insn.imm >>> 0);
}

/** Slots an instruction takes: 2 for a wide load, else 1. */
export function slotsOf(insn: Instruction): 1 | 2 {
  return insn.kind === "wide" ? 2 : 1;
}

/** For the end of a dispatch: a new row in a table above fails to compile until it is handled. */
export function assertNever(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`);
}
