/** Loads, stores, atomics and packet loads: every instruction with `*(size *)` or a fetching atomic. */
import { ATOMIC_OPS, type AtomicOp, type Bytes, type Instruction } from "../isa.ts";
import type { Cursor } from "./cursor.ts";
import type { Token } from "./lexer.ts";
import {
  dataRegister,
  immediate,
  type Parsed,
  parseCast,
  parsePlace,
  type Register,
  wideRegister,
} from "./operands.ts";

const LOCK_BY_SIGN = new Map(
  ATOMIC_OPS.filter((row) => !row.fetch).map((row) => [row.sign as string, row.name]),
);

/** What each name of a fetching atomic means; `isTyped`: the width stands in the pointer's type. */
type FetchForm = { op: AtomicOp; bytes?: 4 | 8; isTyped: boolean };

export const FETCH_BY_NAME: ReadonlyMap<string, FetchForm> = new Map<string, FetchForm>([
  ["xchg_64", { op: "xchg", bytes: 8, isTyped: false }],
  ["xchg32_32", { op: "xchg", bytes: 4, isTyped: false }],
  ["cmpxchg_64", { op: "cmpxchg", bytes: 8, isTyped: false }],
  ["cmpxchg32_32", { op: "cmpxchg", bytes: 4, isTyped: false }],
  ...ATOMIC_OPS.filter((row) => row.fetch).flatMap(({ name: op, sign }): [string, FetchForm][] => [
    [`atomic64_${sign}`, { op, bytes: 8, isTyped: true }],
    [`atomic_${sign}`, { op, isTyped: true }],
  ]),
]);

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

export function parseStore(cursor: Cursor): Parsed {
  const { bytes, base, off } = parseCell(cursor);
  cursor.expect("=");
  const value =
    cursor.peek()?.kind === "word"
      ? { src: dataRegister(cursor, bytes), imm: 0 }
      : { src: null, imm: immediate(cursor, bytes === 8 ? 64 : 32) };
  return { insn: { kind: "store", bytes, dst: base, off, ...value } };
}

export function parseLock(cursor: Cursor): Parsed {
  const { bytes, base, off, token } = parseCell(cursor);
  if (bytes !== 4 && bytes !== 8) throw cursor.mismatch("u32 or u64 (atomics have no other size)", token);
  const sign = cursor.next("an atomic operation");
  const op = LOCK_BY_SIGN.get(sign.text);
  if (!op) throw cursor.mismatch(`an atomic operation: ${[...LOCK_BY_SIGN.keys()].join(" ")}`, sign);
  const src = dataRegister(cursor, bytes);
  return { insn: { kind: "atomic", op, fetch: false, bytes, dst: base, src, off } };
}

export function parseLoad(cursor: Cursor, dst: Register): Instruction {
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

export function parseFetch(cursor: Cursor, dst: Register, form: FetchForm): Instruction {
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
