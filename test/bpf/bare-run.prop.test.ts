import { describe, expect, it } from "vitest";
import { type BareOutcome, runBare } from "../../src/bpf/bare-run.ts";
import { conformanceGroup } from "../../src/bpf/codec.ts";
import { InterpretedProgram } from "../../src/bpf/interpreter.ts";
import { INSN_BYTES } from "../../src/bpf/isa.ts";
import { compileProgram } from "../../src/bpf/jit/compile.ts";
import { randomOf } from "./jit/random-program.ts";

/**
 * Bytecode nobody would write, as `bmc exec` may get it: any bytes end in a result or one message, and both
 * engines end alike. BMC_FUZZ_SECONDS for a long run, BMC_FUZZ_SEED to repeat one.
 */
const SECONDS = Number(process.env.BMC_FUZZ_SECONDS ?? 3);
const FIRST_SEED = Number(process.env.BMC_FUZZ_SEED ?? Date.now() % 2 ** 31);
const BUDGET = 20_000;
const OPCODES = Array.from({ length: 256 }, (_, i) => i).filter(
  (opcode) => conformanceGroup(opcode) !== null,
);
const EXIT = 0x95;
const WIDE = 0x18;
/** Clock and randomness differ between two runs; trace_printk's length with the registers it prints. */
const IMPURE_HELPERS = [5, 6, 7];
/** Immediates that mean something to some opcode. */
const IMMEDIATES = [
  0, 1, -1, 8, 16, 32, 64, 181, 0x40, 0x50, 0xa0, 0xe1, 0xf1, 0x41, -0x8000_0000, 0x7fff_ffff,
];

type Random = () => number;

function below(random: Random, n: number): number {
  return Math.floor(random() * n);
}

/** Opcodes that exist, operands that often make sense. */
function plausible(random: Random): Uint8Array {
  const count = 2 + below(random, 12);
  const bytes = new Uint8Array(count * INSN_BYTES);
  const view = new DataView(bytes.buffer);
  for (let slot = 0; slot < count; slot++) {
    const at = slot * INSN_BYTES;
    const opcode = slot === count - 1 ? EXIT : OPCODES[below(random, OPCODES.length)]!;
    bytes[at] = opcode;
    if (opcode === EXIT) continue;
    const isAccess = [1, 2, 3].includes(opcode & 7);
    const base = [1, 10, 10, below(random, 11)][below(random, 4)]!;
    const usesSource = (opcode & 8) !== 0 || (opcode & 7) === 1 || (opcode & 7) === 3;
    const source = usesSource ? ((opcode & 7) === 1 ? base : below(random, 11)) : 0;
    const target = (opcode & 7) === 2 || (opcode & 7) === 3 ? base : below(random, 10);
    bytes[at + 1] = (source << 4) | target;
    if (isAccess) view.setInt16(at + 2, base === 1 ? below(random, 20) : -below(random, 513), true);
    else if ((opcode & 7) >= 5 && (opcode & 7) <= 6) view.setInt16(at + 2, below(random, 6) - 1, true);
    const needsImmediate = !usesSource || (opcode & 0xe0) === 0xc0;
    if (needsImmediate) view.setInt32(at + 4, IMMEDIATES[below(random, IMMEDIATES.length)]!, true);
    if (opcode === WIDE && slot + 2 < count)
      view.setUint32(++slot * INSN_BYTES + 4, below(random, 2 ** 32), true);
  }
  return bytes;
}

function noise(random: Random): Uint8Array {
  return Uint8Array.from({ length: below(random, 80) }, () => below(random, 256));
}

function callsImpure(bytecode: Uint8Array): boolean {
  const view = new DataView(bytecode.buffer);
  for (let at = 0; at + INSN_BYTES <= bytecode.length; at += INSN_BYTES) {
    const opcode = bytecode[at];
    if (opcode === 0x8d || (opcode === 0x85 && IMPURE_HELPERS.includes(view.getInt32(at + 4, true))))
      return true;
  }
  return false;
}

function ending(outcome: BareOutcome, isPure: boolean): string {
  if (!outcome.ok) return outcome.message === "" ? "no message" : "failed";
  return isPure ? `${outcome.r0.toString(16)} ${Buffer.from(outcome.memory).toString("hex")}` : "ended";
}

describe("bare bytecode", () => {
  it(`ends alike on both engines, whatever it is (first seed ${FIRST_SEED}, ${SECONDS} s)`, {
    timeout: (SECONDS + 30) * 1000,
  }, () => {
    const until = performance.now() + SECONDS * 1000;
    let ran = 0;
    for (let seed = FIRST_SEED; performance.now() < until; seed++) {
      const random = randomOf(seed);
      const bytecode = seed % 8 === 0 ? noise(random) : plausible(random);
      const memory = Uint8Array.from({ length: below(random, 3) * 8 }, () => below(random, 256));
      const isPure = !callsImpure(bytecode);
      const reference = runBare(bytecode, memory, (input) => new InterpretedProgram(input, BUDGET));
      const compiled = runBare(bytecode, memory, (input) => compileProgram(input, { budget: BUDGET }));
      const program = `seed ${seed}: ${Buffer.from(bytecode).toString("hex")}`;
      expect({ program, ending: ending(compiled, isPure) }).toEqual({
        program,
        ending: ending(reference, isPure),
      });
      if (reference.ok) ran++;
    }
    expect(ran).toBeGreaterThan(0);
  });
});
