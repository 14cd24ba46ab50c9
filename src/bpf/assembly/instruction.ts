/**
 * One line of tokens to one instruction. Names (labels, maps) stay open as a Reference, because they may
 * be defined further down: the assembler fills them in. Both dialects are read here; see
 * docs/assembly.md for the grammar.
 */

import { helperIdOf } from "../helpers/names.ts";
import {
  ALU_OPS,
  ATOMIC_OPS,
  type AtomicOp,
  type Bytes,
  type Instruction,
  JUMP_OPS,
  MOVSX_BITS,
  REGISTER_COUNT,
  SIZES,
  SWAP_BITS,
  type SwapOrder,
  type WideKind,
  type Width,
} from "../isa.ts";
import type { Cursor } from "./cursor.ts";
import type { Token } from "./lexer.ts";

/** A name an instruction mentions and the assembler must look up. */
export type Reference = {
  readonly token: Token;
  readonly role: "jump" | "call" | "map" | "func" | "symbol";
};
export type Parsed = { readonly insn: Instruction; readonly reference?: Reference };

const ALU_BY_SIGN = new Map(ALU_OPS.filter((row) => row.name !== "neg").map((row) => [row.sign, row.name]));
const JUMP_BY_SIGN = new Map(JUMP_OPS.map((row) => [row.sign as string, row.name]));
const SIZE_BY_TYPE: ReadonlyMap<string, { bytes: Bytes; signed: boolean }> = new Map(
  SIZES.flatMap(({ bytes, type, signedType }): [string, { bytes: Bytes; signed: boolean }][] => [
    [type, { bytes, signed: false }],
    [signedType, { bytes, signed: true }],
  ]),
);
const LOCK_BY_SIGN = new Map(
  ATOMIC_OPS.filter((row) => !row.fetch).map((row) => [row.sign as string, row.name]),
);
const SWAP_BY_NAME: ReadonlyMap<string, { order: SwapOrder; bits: 16 | 32 | 64 }> = new Map(
  (["le", "be", "bswap"] as const).flatMap((order) =>
    SWAP_BITS.map((bits) => [`${order}${bits}`, { order, bits }] as const),
  ),
);

type FetchForm = { op: AtomicOp; bytes?: 4 | 8; isTyped: boolean };
/** Both dialects' names; llvm's fetch forms tell the width by the pointer's type. */
const FETCH_BY_NAME: ReadonlyMap<string, FetchForm> = new Map<string, FetchForm>([
  ["xchg_64", { op: "xchg", bytes: 8, isTyped: false }],
  ["xchg32_32", { op: "xchg", bytes: 4, isTyped: false }],
  ["cmpxchg_64", { op: "cmpxchg", bytes: 8, isTyped: false }],
  ["cmpxchg32_32", { op: "cmpxchg", bytes: 4, isTyped: false }],
  ...ATOMIC_OPS.filter((row) => row.fetch).flatMap(({ name: op, sign }): [string, FetchForm][] => [
    [`atomic64_${sign}`, { op, bytes: 8, isTyped: true }],
    [`atomic_${sign}`, { op, isTyped: true }],
  ]),
]);

const REGISTER = "a register (r0..r10 or w0..w10)";
const VALUE = "a register or a number";

export function parseInstruction(cursor: Cursor): Parsed {
  const first = cursor.peek();
  const keyword = first?.kind === "word" ? KEYWORDS.get(first.text) : undefined;
  if (keyword) {
    cursor.next("an instruction");
    return keyword(cursor);
  }
  if (cursor.isAt("*")) return parseStore(cursor);
  if (!first || !isRegister(first)) {
    throw cursor.mismatch(
      "an instruction: a register, '*(', 'if', 'goto', 'gotol', 'call', 'callx', 'lock' or 'exit'",
    );
  }
  return parseRegisterForm(cursor);
}

const KEYWORDS: ReadonlyMap<string, (cursor: Cursor) => Parsed> = new Map<string, (cursor: Cursor) => Parsed>(
  [
    ["exit", () => ({ insn: { kind: "exit" } })],
    ["goto", (cursor) => jump(parseTarget(cursor, 16), false)],
    ["gotol", (cursor) => jump(parseTarget(cursor, 32), true)],
    ["if", parseBranch],
    ["call", parseCall],
    ["callx", (cursor) => ({ insn: { kind: "call", target: "register", reg: wideRegister(cursor) } })],
    ["lock", parseLock],
  ],
);

type Register = { width: Width; number: number; token: Token };

function isRegister(token: Token): boolean {
  return token.kind === "word" && /^[rw]\d+$/.test(token.text);
}

function register(cursor: Cursor, width?: Width): Register {
  const expected =
    width === undefined ? REGISTER : width === 64 ? "a register r0..r10" : "a register w0..w10";
  const token = cursor.next(expected);
  const number = Number(token.text.slice(1));
  const found = token.text.startsWith("w") ? 32 : 64;
  if (!isRegister(token) || number >= REGISTER_COUNT || (width !== undefined && width !== found)) {
    throw cursor.mismatch(expected, token);
  }
  return { width: found, number, token };
}

function wideRegister(cursor: Cursor): number {
  return register(cursor, 64).number;
}

/** llvm writes w registers where an access has 32 bits or fewer, the kernel always r. */
function dataRegister(cursor: Cursor, bytes: number): number {
  return register(cursor, bytes <= 4 ? undefined : 64).number;
}

/**
 * The signed 32 bits an instruction holds. Hex is taken as the bit pattern (so 0xffffffff is -1, as in
 * both dialects); decimal beyond the signed range only where just 32 bits take part.
 */
function immediate(cursor: Cursor, width: Width, hint = ""): number {
  const start = cursor.peek();
  const { value, isHex } = cursor.integer(VALUE);
  const max = isHex || width === 32 ? 0xffff_ffffn : 0x7fff_ffffn;
  if (value < -0x8000_0000n || value > max) {
    throw cursor.mismatch(
      `a 32-bit number (-2147483648..${isHex ? "0xffffffff" : max}${hint})`,
      start,
      start?.text === "-" ? String(value) : undefined,
    );
  }
  return Number(BigInt.asIntN(32, value));
}

function operand(cursor: Cursor, width: Width): { src: number | null; imm: number } {
  const token = cursor.peek();
  if (token?.kind === "word") return { src: register(cursor, width).number, imm: 0 };
  return { src: null, imm: immediate(cursor, width) };
}

/** What follows `goto`: `+3`, `pc+3` or a label; llvm's `<label+0x8>` behind a number is a remark. */
function parseTarget(cursor: Cursor, bits: 16 | 32): { off: number; token?: Token } {
  const expected = "a jump target: '+N', '-N', 'pc+N' or a label";
  const token = cursor.peek();
  const isRelative = cursor.isAt("pc") && (cursor.isAt("+", 1) || cursor.isAt("-", 1));
  if (token?.kind === "word" && !isRelative) return { off: 0, token: cursor.next(expected) };
  if (isRelative) cursor.next(expected);
  if (!cursor.isAt("+") && !cursor.isAt("-")) throw cursor.mismatch(expected);
  const limit = 2 ** (bits - 1);
  cursor.accept("+");
  const off = cursor.bounded(-limit, limit - 1, `a ${bits}-bit jump offset`);
  skipRemark(cursor);
  return { off };
}

function skipRemark(cursor: Cursor): void {
  if (!cursor.accept("<")) return;
  while (!cursor.accept(">")) cursor.next("'>'");
}

function jump({ off, token }: { off: number; token?: Token }, long: boolean): Parsed {
  return { insn: { kind: "jump", off, long }, ...(token && { reference: { token, role: "jump" } }) };
}

function parseBranch(cursor: Cursor): Parsed {
  const { width, number: dst } = register(cursor);
  const sign = cursor.next("a comparison");
  const op = JUMP_BY_SIGN.get(sign.text);
  if (!op) throw cursor.mismatch(`a comparison: ${[...JUMP_BY_SIGN.keys()].join(" ")}`, sign);
  const right = operand(cursor, width);
  cursor.expect("goto");
  const { off, token } = parseTarget(cursor, 16);
  return {
    insn: { kind: "branch", op, width, dst, ...right, off },
    ...(token && { reference: { token, role: "jump" } }),
  };
}

function parseCall(cursor: Cursor): Parsed {
  const expected = "a helper's name or number, a label, or 'pc+N'";
  const token = cursor.peek();
  if (token?.kind === "number" || (cursor.isAt("-") && cursor.peek(1)?.kind === "number")) {
    const id = cursor.bounded(-(2 ** 31), 2 ** 31 - 1, "a helper's number");
    return { insn: { kind: "call", target: "helper", id } };
  }
  if (token?.kind === "word" && token.text.includes("#")) {
    cursor.next(expected);
    return { insn: numberedCall(cursor, token) };
  }
  const { off, token: label } = parseTarget(cursor, 32);
  return {
    insn: { kind: "call", target: "local", off },
    ...(label && { reference: { token: label, role: "call" } }),
  };
}

/** `bpf_map_lookup_elem#1`: the number decides, but a known name must agree with it. */
function numberedCall(cursor: Cursor, token: Token): Instruction {
  const [name = "", digits = ""] = token.text.split("#");
  const id = Number(digits);
  if (id < -(2 ** 31) || id >= 2 ** 31) throw cursor.mismatch("a helper's number of 32 bits", token);
  if (name === "kfunc") return { kind: "call", target: "kfunc", id };
  const known = helperIdOf(name);
  if (known !== undefined && known !== id) throw cursor.mismatch(`'${name}#${known}'`, token);
  return { kind: "call", target: "helper", id };
}

/** `r10 - 8`, `r1 +4`, `r1`: a base register and a signed 16-bit offset. */
function parsePlace(cursor: Cursor): { base: number; off: number } {
  const base = wideRegister(cursor);
  if (!cursor.isAt("+") && !cursor.isAt("-")) return { base, off: 0 };
  cursor.accept("+");
  return { base, off: cursor.bounded(-32768, 32767, "a 16-bit offset") };
}

/** `(u32 *)`, spaces as they please. */
function parseCast(cursor: Cursor): { bytes: Bytes; signed: boolean; token: Token } {
  cursor.expect("(");
  const token = cursor.next("a size");
  const size = SIZE_BY_TYPE.get(token.text);
  if (!size) throw cursor.mismatch("a size: u8, u16, u32, u64, s8, s16 or s32", token);
  cursor.expect("*");
  cursor.expect(")");
  return { ...size, token };
}

/** `*(u32 *)(r1 + 4)` on the left side. */
function parseCell(cursor: Cursor): { bytes: Bytes; base: number; off: number; token: Token } {
  cursor.expect("*");
  const { bytes, signed, token } = parseCast(cursor);
  if (signed) throw cursor.mismatch("an unsigned size (stores have no sign)", token);
  cursor.expect("(");
  const place = parsePlace(cursor);
  cursor.expect(")");
  return { bytes, ...place, token };
}

function parseStore(cursor: Cursor): Parsed {
  const { bytes, base, off } = parseCell(cursor);
  cursor.expect("=");
  const value =
    cursor.peek()?.kind === "word"
      ? { src: dataRegister(cursor, bytes), imm: 0 }
      : { src: null, imm: immediate(cursor, bytes === 8 ? 64 : 32) };
  return { insn: { kind: "store", bytes, dst: base, off, ...value } };
}

function parseLock(cursor: Cursor): Parsed {
  const { bytes, base, off, token } = parseCell(cursor);
  if (bytes !== 4 && bytes !== 8) throw cursor.mismatch("u32 or u64 (atomics have no other size)", token);
  const sign = cursor.next("an atomic operation");
  const op = LOCK_BY_SIGN.get(sign.text);
  if (!op) throw cursor.mismatch(`an atomic operation: ${[...LOCK_BY_SIGN.keys()].join(" ")}`, sign);
  const src = dataRegister(cursor, bytes);
  return { insn: { kind: "atomic", op, fetch: false, bytes, dst: base, src, off } };
}

/** Everything that begins with a register and an assignment sign. */
function parseRegisterForm(cursor: Cursor): Parsed {
  const dst = register(cursor);
  const sign = cursor.next("an assignment");
  const op = ALU_BY_SIGN.get(sign.text as never);
  if (!op) throw cursor.mismatch(`an assignment: ${[...ALU_BY_SIGN.keys()].join(" ")}`, sign);
  if (op !== "mov") {
    return { insn: { kind: "alu", op, width: dst.width, dst: dst.number, ...operand(cursor, dst.width) } };
  }
  return parseAssignment(cursor, dst);
}

function parseAssignment(cursor: Cursor, dst: Register): Parsed {
  const { width, number } = dst;
  const token = cursor.peek();
  if (!token) throw cursor.mismatch(VALUE);
  if (cursor.isAt("*")) return { insn: parseLoad(cursor, dst) };
  if (cursor.isAt("(")) return { insn: parseSignExtension(cursor, dst) };
  const negated = cursor.isAt("-") ? cursor.peek(1) : undefined;
  if (negated && isRegister(negated)) {
    cursor.expect("-");
    sameRegister(cursor, dst);
    return { insn: { kind: "neg", width, dst: number } };
  }
  if (token.kind === "number" || negated) return { insn: parseConstant(cursor, dst) };
  if (isRegister(token)) {
    return {
      insn: { kind: "alu", op: "mov", width, dst: number, src: register(cursor, width).number, imm: 0 },
    };
  }
  const swap = SWAP_BY_NAME.get(token.text);
  if (swap) {
    cursor.next("a byte swap");
    sameRegister(cursor, dst);
    return { insn: { kind: "swap", ...swap, dst: number } };
  }
  const fetch = FETCH_BY_NAME.get(token.text);
  if (fetch) {
    cursor.next("an atomic operation");
    return { insn: parseFetch(cursor, dst, fetch) };
  }
  if (token.kind !== "word" || width !== 64) throw cursor.mismatch(VALUE);
  return parseWideName(cursor, number);
}

/** In `r1 = -r1` and `r1 = be16 r1` both must be one register: the instruction has room for one. */
function sameRegister(cursor: Cursor, dst: Register): void {
  const token = cursor.peek();
  if (token?.text !== dst.token.text) throw cursor.mismatch(`'${dst.token.text}'`);
  cursor.next("a register");
}

function parseConstant(cursor: Cursor, dst: Register): Instruction {
  const start = cursor.peek();
  const isNegative = cursor.isAt("-");
  const hasSuffix = cursor.isAt("ll", isNegative ? 2 : 1);
  // A verifier log prints wide constants without `ll`; its (18) tells them from a move.
  if (!hasSuffix && cursor.line.opcode !== 0x18) {
    const imm = immediate(cursor, dst.width, "; write 'll' behind a 64-bit constant");
    return { kind: "alu", op: "mov", width: dst.width, dst: dst.number, src: null, imm };
  }
  const { value } = cursor.integer("a number");
  if (dst.width !== 64) throw cursor.mismatch("a register r0..r10 (wide loads fill 64 bits)", dst.token);
  if (value < -(2n ** 63n) || value >= 2n ** 64n) throw cursor.mismatch("a 64-bit number", start);
  cursor.accept("ll");
  return wide("imm", dst.number, Number(value & 0xffff_ffffn), Number((value >> 32n) & 0xffff_ffffn));
}

function wide(pseudo: WideKind, dst: number, imm: number, imm2 = 0): Extract<Instruction, { kind: "wide" }> {
  return { kind: "wide", pseudo, dst, imm: imm | 0, imm2: imm2 | 0 };
}

function parseSignExtension(cursor: Cursor, dst: Register): Instruction {
  cursor.expect("(");
  const widths = MOVSX_BITS[dst.width];
  const token = cursor.next("a signed size");
  const bits = widths.find((width) => token.text === `s${width}`);
  if (!bits) throw cursor.mismatch(widths.map((width) => `s${width}`).join(" or "), token);
  cursor.expect(")");
  return { kind: "movsx", width: dst.width, bits, dst: dst.number, src: register(cursor, dst.width).number };
}

function parseLoad(cursor: Cursor, dst: Register): Instruction {
  cursor.expect("*");
  const { bytes, signed, token } = parseCast(cursor);
  if (cursor.accept("skb")) {
    if (bytes === 8 || signed) throw cursor.mismatch("u8, u16 or u32 (packet loads)", token);
    if (dst.token.text !== "r0") throw cursor.mismatch("r0 (packet loads have no other result)", dst.token);
    return { kind: "packet", bytes, ...parsePacketIndex(cursor) };
  }
  if (signed && bytes === 8) throw cursor.mismatch("u64 (there is no sign to extend)", token);
  if (dst.width === 32 && (bytes === 8 || signed)) {
    throw cursor.mismatch("a register r0..r10 (this load fills 64 bits)", dst.token);
  }
  cursor.expect("(");
  const { base, off } = parsePlace(cursor);
  cursor.expect(")");
  return { kind: "load", bytes, signed, dst: dst.number, src: base, off };
}

function parsePacketIndex(cursor: Cursor): { src: number | null; imm: number } {
  cursor.expect("[");
  const hasBase = cursor.peek()?.kind === "word";
  const src = hasBase ? wideRegister(cursor) : null;
  const imm = !hasBase || cursor.accept("+") || cursor.isAt("-") ? immediate(cursor, 32) : 0;
  cursor.expect("]");
  return { src, imm };
}

function parseFetch(cursor: Cursor, dst: Register, form: FetchForm): Instruction {
  cursor.expect("(");
  let bytes = form.bytes;
  if (form.isTyped) {
    const { bytes: typed, token } = parseCast(cursor);
    // The kernel's atomic_xchg is the 32-bit one; llvm's atomic_fetch_add has the width in its type.
    if ((typed !== 4 && typed !== 8) || (bytes ?? typed) !== typed) {
      throw cursor.mismatch(bytes === 8 ? "u64" : "u32 or u64", token);
    }
    bytes = typed;
    cursor.expect("(");
  }
  const { base, off } = parsePlace(cursor);
  if (form.isTyped) cursor.expect(")");
  cursor.expect(",");
  const size = bytes ?? 8;
  if (form.op === "cmpxchg") {
    const compared = cursor.peek();
    if (dataRegister(cursor, size) !== 0) throw cursor.mismatch("r0 (what cmpxchg compares with)", compared);
    if (dst.number !== 0) throw cursor.mismatch("r0 (where cmpxchg leaves the old value)", dst.token);
    cursor.expect(",");
  }
  const source = cursor.peek();
  const src = dataRegister(cursor, size);
  cursor.expect(")");
  if (form.op !== "cmpxchg" && src !== dst.number) {
    throw cursor.mismatch(`'${dst.token.text}' (a fetch returns into its operand)`, source);
  }
  if (dst.width === 32 && size === 8) throw cursor.mismatch("a register r0..r10", dst.token);
  return { kind: "atomic", op: form.op, fetch: true, bytes: size, dst: base, src, off };
}

/** Wide loads of something that has a name: maps, functions, variables. */
function parseWideName(cursor: Cursor, dst: number): Parsed {
  const token = cursor.next("a name");
  const parsed = wideName(cursor, dst, token);
  const second = cursor.accept("next") ? cursor.bounded(0, 2 ** 32 - 1, "the second word") : null;
  cursor.accept("ll");
  if (second === null || parsed.insn.kind !== "wide") return parsed;
  return { ...parsed, insn: { ...parsed.insn, imm2: second | 0 } };
}

function wideName(cursor: Cursor, dst: number, token: Token): Parsed {
  switch (token.text) {
    case "map":
    case "map_value": {
      cursor.expect("[");
      const { imm, reference } = parseMapName(cursor);
      cursor.expect("]");
      const isValue = token.text === "map_value" || cursor.isAt("[") || cursor.isAt("+");
      if (!isValue) return { insn: wide("map", dst, imm), ...reference };
      return { insn: wide("map_value", dst, imm, parseValueOffset(cursor)), ...reference };
    }
    case "map_by_idx":
    case "var_addr": {
      cursor.expect("(");
      const imm = cursor.bounded(-(2 ** 31), 2 ** 31 - 1, "an index");
      cursor.expect(")");
      if (token.text === "var_addr") return { insn: wide("var", dst, imm) };
      if (!cursor.isAt("[")) return { insn: wide("map_idx", dst, imm) };
      return { insn: wide("map_idx_value", dst, imm, parseValueOffset(cursor)) };
    }
    case "func": {
      const { off, token: label } = parseTarget(cursor, 32);
      return { insn: wide("func", dst, off), ...(label && { reference: { token: label, role: "func" } }) };
    }
    default:
      // As in llvm's own assembly: `r1 = my_map ll`.
      if (!cursor.isAt("ll")) throw cursor.mismatch(VALUE, token);
      return { insn: wide("map", dst, 0), reference: { token, role: "symbol" } };
  }
}

/** `NAME`, `3` or the `id:3` of bpftool's listings. */
function parseMapName(cursor: Cursor): { imm: number; reference?: { reference: Reference } } {
  if (cursor.isAt("id") && cursor.isAt(":", 1)) {
    cursor.expect("id");
    cursor.expect(":");
  }
  const token = cursor.peek();
  if (token?.kind === "word") {
    cursor.next("a map");
    return { imm: 0, reference: { reference: { token, role: "map" } } };
  }
  return { imm: cursor.bounded(-(2 ** 31), 2 ** 31 - 1, "a map's name or index") };
}

/** `[0]+4` or `+ 4` behind a map: a byte of its first value. */
function parseValueOffset(cursor: Cursor): number {
  if (cursor.accept("[")) {
    cursor.bounded(0, 0, "0, the only element that can be named");
    cursor.expect("]");
  }
  return cursor.accept("+") ? cursor.bounded(0, 2 ** 32 - 1, "a byte offset into the value") : 0;
}
