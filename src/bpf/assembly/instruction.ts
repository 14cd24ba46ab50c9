/**
 * One line of tokens to one instruction. Names (labels, maps) stay open as a Reference, because they may
 * be defined further down: the assembler fills them in. See docs/assembly.md for the grammar.
 */
import { kfuncByName } from "../helpers/kfuncs.ts";
import { helperIdOf } from "../helpers/names.ts";
import { ALU_OPS, type Instruction, JUMP_OPS, MOVSX_BITS, SWAP_BITS, type SwapOrder } from "../isa.ts";
import type { Cursor } from "./cursor.ts";
import type { Token } from "./lexer.ts";
import { FETCH_BY_NAME, parseFetch, parseLoad, parseLock, parseStore } from "./memory.ts";
import {
  isRegister,
  operand,
  type Parsed,
  parseTarget,
  type Register,
  register,
  sameRegister,
  VALUE,
  wideRegister,
} from "./operands.ts";
import { parseConstant, parseWideName } from "./wide-load.ts";

const ALU_BY_SIGN = new Map(
  ALU_OPS.filter((row) => row.name !== "neg").map((row) => [row.sign as string, row.name]),
);
const JUMP_BY_SIGN = new Map(JUMP_OPS.map((row) => [row.sign as string, row.name]));

const SWAP_BY_NAME: ReadonlyMap<string, { order: SwapOrder; bits: 16 | 32 | 64 }> = new Map(
  (["le", "be", "bswap"] as const).flatMap((order) =>
    SWAP_BITS.map((bits) => [`${order}${bits}`, { order, bits }] as const),
  ),
);

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
      "an instruction: a register, '*(', 'if', 'goto', 'gotol', 'may_goto', 'call', 'callx', 'lock' or 'exit'",
    );
  }
  return parseRegisterForm(cursor);
}

const KEYWORDS: ReadonlyMap<string, (cursor: Cursor) => Parsed> = new Map<string, (cursor: Cursor) => Parsed>(
  [
    ["exit", () => ({ insn: { kind: "exit" } })],
    ["goto", (cursor) => jump(parseTarget(cursor, 16), false)],
    ["gotol", (cursor) => jump(parseTarget(cursor, 32), true)],
    ["may_goto", (cursor) => mayGoto(parseTarget(cursor, 16))],
    ["if", parseBranch],
    ["call", parseCall],
    ["callx", (cursor) => ({ insn: { kind: "call", target: "register", reg: wideRegister(cursor) } })],
    ["lock", parseLock],
  ],
);

function jump({ off, token }: { off: number; token?: Token }, long: boolean): Parsed {
  return { insn: { kind: "jump", off, long }, ...(token && { reference: { token, role: "jump" } }) };
}

function mayGoto({ off, token }: { off: number; token?: Token }): Parsed {
  return { insn: { kind: "may_goto", off }, ...(token && { reference: { token, role: "jump" } }) };
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

/**
 * `bpf_map_lookup_elem#1`: the number decides, but a known name must agree with it. Of a kernel function
 * the name decides: its number in a kernel's log is that kernel's own.
 */
function numberedCall(cursor: Cursor, token: Token): Instruction {
  const [name = "", digits = ""] = token.text.split("#");
  const id = Number(digits);
  if (id < -(2 ** 31) || id >= 2 ** 31) throw cursor.mismatch("a helper's number of 32 bits", token);
  if (name === "kfunc") return { kind: "call", target: "kfunc", id };
  const kfunc = kfuncByName(name);
  if (kfunc) return { kind: "call", target: "kfunc", id: kfunc.id };
  const known = helperIdOf(name);
  if (known !== undefined && known !== id) throw cursor.mismatch(`'${name}#${known}'`, token);
  return { kind: "call", target: "helper", id };
}

/** Everything that begins with a register and an assignment sign. */
function parseRegisterForm(cursor: Cursor): Parsed {
  const dst = register(cursor);
  const sign = cursor.next("an assignment");
  const op = ALU_BY_SIGN.get(sign.text);
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

function parseSignExtension(cursor: Cursor, dst: Register): Instruction {
  cursor.expect("(");
  const widths = MOVSX_BITS[dst.width];
  const token = cursor.next("a signed size");
  const bits = widths.find((width) => token.text === `s${width}`);
  if (!bits) throw cursor.mismatch(widths.map((width) => `s${width}`).join(" or "), token);
  cursor.expect(")");
  return { kind: "movsx", width: dst.width, bits, dst: dst.number, src: register(cursor, dst.width).number };
}
