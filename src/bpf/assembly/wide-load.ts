/** The 16-byte load: 64-bit constants, and whatever has a name (maps, functions, variables). */
import { type Instruction, WIDE_OPCODE, type WideKind } from "../isa.ts";
import type { Cursor } from "./cursor.ts";
import type { Token } from "./lexer.ts";
import { immediate, type Parsed, parseTarget, type Reference, type Register, VALUE } from "./operands.ts";

export function parseConstant(cursor: Cursor, dst: Register): Instruction {
  const start = cursor.peek();
  const isNegative = cursor.isAt("-");
  const hasSuffix = cursor.isAt("ll", isNegative ? 2 : 1);
  // A verifier log prints wide constants without `ll`; its (18) tells them from a move.
  if (!hasSuffix && cursor.line.opcode !== WIDE_OPCODE) {
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

/** Wide loads of something that has a name: maps, functions, variables. */
export function parseWideName(cursor: Cursor, dst: number): Parsed {
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
