import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { assemble } from "../../src/bpf/assembler.ts";
import { decode, encode, toSlots } from "../../src/bpf/codec.ts";
import { type Dialect, disassemble } from "../../src/bpf/disassembler.ts";
import {
  ALU_OPS,
  ATOMIC_OPS,
  type Instruction,
  type InstructionKind,
  JUMP_OPS,
  WIDE_SRC,
} from "../../src/bpf/isa.ts";

const reg = fc.integer({ min: 0, max: 10 });
const s32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const s16 = fc.integer({ min: -32768, max: 32767 });
const width = fc.constantFrom(32, 64);
const operand = fc.oneof(
  fc.record({ src: reg, imm: fc.constant(0) }),
  fc.record({ src: fc.constant(null), imm: s32 }),
);
const withOperand = <T extends object>(shape: fc.Arbitrary<T>) =>
  fc.tuple(shape, operand).map(([a, b]) => ({ ...a, ...b }));
const kind = <K extends string>(name: K) => fc.constant(name);
const nameOf = <T extends { name: string }>(rows: readonly T[]) =>
  fc.constantFrom(...rows.map((r) => r.name));

/** One generator an instruction kind: a new kind fails to compile until it has its row. */
const BY_KIND: Record<InstructionKind, fc.Arbitrary<unknown>> = {
  alu: withOperand(
    fc.record({
      kind: kind("alu"),
      op: nameOf(ALU_OPS.filter((row) => row.name !== "neg")),
      width,
      dst: reg,
    }),
  ),
  neg: fc.record({ kind: kind("neg"), width, dst: reg }),
  movsx: fc.oneof(
    fc.record({
      kind: kind("movsx"),
      width: fc.constant(32),
      bits: fc.constantFrom(8, 16),
      dst: reg,
      src: reg,
    }),
    fc.record({
      kind: kind("movsx"),
      width: fc.constant(64),
      bits: fc.constantFrom(8, 16, 32),
      dst: reg,
      src: reg,
    }),
  ),
  swap: fc.record({
    kind: kind("swap"),
    order: fc.constantFrom("le", "be", "bswap"),
    bits: fc.constantFrom(16, 32, 64),
    dst: reg,
  }),
  jump: fc.oneof(
    fc.record({ kind: kind("jump"), off: s16, long: fc.constant(false) }),
    fc.record({ kind: kind("jump"), off: s32, long: fc.constant(true) }),
  ),
  may_goto: fc.record({ kind: kind("may_goto"), off: s16 }),
  branch: withOperand(fc.record({ kind: kind("branch"), op: nameOf(JUMP_OPS), width, dst: reg, off: s16 })),
  call: fc.oneof(
    fc.record({ kind: kind("call"), target: fc.constantFrom("helper", "kfunc"), id: s32 }),
    fc.record({
      kind: kind("call"),
      target: fc.constant("helper"),
      id: fc.integer({ min: 0, max: 220 }),
    }),
    fc.record({ kind: kind("call"), target: fc.constant("local"), off: s32 }),
    fc.record({ kind: kind("call"), target: fc.constant("register"), reg }),
  ),
  exit: fc.record({ kind: kind("exit") }),
  load: fc.oneof(
    fc.record({
      kind: kind("load"),
      bytes: fc.constantFrom(1, 2, 4, 8),
      signed: fc.constant(false),
      dst: reg,
      src: reg,
      off: s16,
    }),
    fc.record({
      kind: kind("load"),
      bytes: fc.constantFrom(1, 2, 4),
      signed: fc.constant(true),
      dst: reg,
      src: reg,
      off: s16,
    }),
  ),
  store: withOperand(
    fc.record({ kind: kind("store"), bytes: fc.constantFrom(1, 2, 4, 8), dst: reg, off: s16 }),
  ),
  atomic: fc
    .tuple(fc.constantFrom(...ATOMIC_OPS), fc.constantFrom(4, 8), reg, reg, s16)
    .map(([{ name, fetch }, bytes, dst, src, off]) => ({
      kind: "atomic",
      op: name,
      fetch,
      bytes,
      dst,
      src,
      off,
    })),
  packet: fc.record({
    kind: kind("packet"),
    bytes: fc.constantFrom(1, 2, 4),
    src: fc.option(reg),
    imm: s32,
  }),
  wide: fc.record({
    kind: kind("wide"),
    pseudo: nameOf(WIDE_SRC),
    dst: reg,
    imm: s32,
    imm2: fc.oneof(fc.constant(0), s32),
  }),
};

const instruction = fc.oneof(...Object.values(BY_KIND)) as fc.Arbitrary<Instruction>;
const bytes = fc.array(instruction, { minLength: 1, maxLength: 12 }).map((list) => encode(toSlots(list)));

/** As a listing: the kernel's spelling needs its opcode to tell a wide constant from a move. */
function listing(code: Uint8Array, dialect: Dialect): string {
  const decoded = decode(code);
  if (!decoded.ok) throw new Error(decoded.error.message);
  return disassemble(decoded.slots, { dialect })
    .map(({ slot, text }) => {
      const opcode = (code[slot * 8] ?? 0).toString(16).padStart(2, "0");
      return dialect === "kernel" ? `${slot}: (${opcode}) ${text}` : text;
    })
    .join("\n");
}

describe("assembler and disassembler", () => {
  for (const dialect of ["plain", "llvm", "kernel"] as const) {
    it(`assemble(disassemble(bytes)) is bytes, ${dialect} dialect`, () => {
      fc.assert(
        fc.property(bytes, (code) => {
          const text = listing(code, dialect);
          const again = assemble(text);
          if (!again.ok) throw new Error(`${again.errors[0].message}\n${text}`);
          expect([...again.program.bytecode]).toEqual([...code]);
          expect(listing(again.program.bytecode, dialect)).toBe(text);
        }),
        { numRuns: 1500 },
      );
    });
  }

  it("any text is assembled or refused, never thrown at", () => {
    const piece = fc.constantFrom(
      ...'r0 r10 w3 r11 = += s>>= * ( ) [ ] , : ; # // /* */ < > + - 7 0xff 99999999999999999999 u8 u32 s8 ll goto if call exit lock map skb func pc .map .type .global hash key entries " \n \t next label: be16 cmpxchg_64 é'.split(
        " ",
      ),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        const result = assemble(pieces.join(" "));
        if (!result.ok) {
          for (const { line, column, message } of result.errors) {
            expect(line).toBeGreaterThan(0);
            expect(column).toBeGreaterThan(0);
            expect(message).toMatch(/^expected .+, found .+/s);
          }
        }
      }),
      { numRuns: 3000 },
    );
  });
});
