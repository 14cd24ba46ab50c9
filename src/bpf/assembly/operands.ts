/**
 * What instructions are made of: registers, numbers, places in memory, jump targets. Both dialects'
 * spellings are read here.
 */
import { type Bytes, type Instruction, REGISTER_COUNT, SIZES, type Width } from "../isa.ts";
import type { Cursor } from "./cursor.ts";
import type { Token } from "./lexer.ts";

/** A name an instruction mentions and the assembler must look up. */
export type Reference = {
  readonly token: Token;
  readonly role: "jump" | "call" | "map" | "func" | "symbol";
};

export type Parsed = { readonly insn: Instruction; readonly reference?: Reference };

const SIZE_BY_TYPE: ReadonlyMap<string, { bytes: Bytes; signed: boolean }> = new Map(
  SIZES.flatMap(({ bytes, type, signedType }): [string, { bytes: Bytes; signed: boolean }][] => [
    [type, { bytes, signed: false }],
    [signedType, { bytes, signed: true }],
  ]),
);

const REGISTER = "a register (r0..r10 or w0..w10)";

export const VALUE = "a register or a number";

export type Register = { width: Width; number: number; token: Token };

export function isRegister(token: Token): boolean {
  return token.kind === "word" && /^[rw]\d+$/.test(token.text);
}

export function register(cursor: Cursor, width?: Width): Register {
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

export function wideRegister(cursor: Cursor): number {
  return register(cursor, 64).number;
}

/** llvm writes w registers where an access has 32 bits or fewer, the kernel always r. */
export function dataRegister(cursor: Cursor, bytes: number): number {
  return register(cursor, bytes <= 4 ? undefined : 64).number;
}

/** In `r1 = -r1` and `r1 = be16 r1` both must be one register: the instruction has room for one. */
export function sameRegister(cursor: Cursor, dst: Register): void {
  const token = cursor.peek();
  if (token?.text !== dst.token.text) throw cursor.mismatch(`'${dst.token.text}'`);
  cursor.next("a register");
}

/**
 * The signed 32 bits an instruction holds. Hex is taken as the bit pattern (so 0xffffffff is -1, as in
 * both dialects); decimal beyond the signed range only where just 32 bits take part.
 */
export function immediate(cursor: Cursor, width: Width, hint = ""): number {
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

export function operand(cursor: Cursor, width: Width): { src: number | null; imm: number } {
  const token = cursor.peek();
  if (token?.kind === "word") return { src: register(cursor, width).number, imm: 0 };
  return { src: null, imm: immediate(cursor, width) };
}

/** What follows `goto`: `+3`, `pc+3` or a label; llvm's `<label+0x8>` behind a number is a remark. */
export function parseTarget(cursor: Cursor, bits: 16 | 32): { off: number; token?: Token } {
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

/** `r10 - 8`, `r1 +4`, `r1`: a base register and a signed 16-bit offset. */
export function parsePlace(cursor: Cursor): { base: number; off: number } {
  const base = wideRegister(cursor);
  if (!cursor.isAt("+") && !cursor.isAt("-")) return { base, off: 0 };
  cursor.accept("+");
  return { base, off: cursor.bounded(-32768, 32767, "a 16-bit offset") };
}

/** `(u32 *)`, spaces as they please. */
export function parseCast(cursor: Cursor): { bytes: Bytes; signed: boolean; token: Token } {
  cursor.expect("(");
  const token = cursor.next("a size");
  const size = SIZE_BY_TYPE.get(token.text);
  if (!size) throw cursor.mismatch("a size: u8, u16, u32, u64, s8, s16 or s32", token);
  cursor.expect("*");
  cursor.expect(")");
  return { ...size, token };
}
