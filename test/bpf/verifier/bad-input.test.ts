import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CLASS, INSN_BYTES } from "../../../src/bpf/isa.ts";
import { PROGRAM_TYPES, type Program, type ProgramType } from "../../../src/bpf/program.ts";
import { verify } from "../../../src/bpf/verifier/verify.ts";
import { FUZZ_MAP, generate } from "./generate.ts";

const LIMIT = { insnLimit: 3000, logLevel: 2 } as const;

function bare(bytecode: Uint8Array, type: ProgramType): Program {
  return {
    name: "x",
    section: type,
    type,
    bytecode,
    maps: [FUZZ_MAP],
    subprograms: [],
    lines: [],
    license: "GPL",
  };
}

const type = fc.constantFrom(...PROGRAM_TYPES);
const options = fc.record({
  unprivileged: fc.boolean(),
  target: fc.constantFrom("linux" as const, "nic" as const),
});

/** Every verdict has a message where it refuses, and ends with the summary line. */
function isVerdict(program: Program, given: { unprivileged: boolean; target: "linux" | "nic" }): void {
  const verdict = verify(program, { ...LIMIT, ...given });
  expect(verdict.accepted).toBe(verdict.rule === null);
  if (!verdict.accepted) expect(verdict.message).not.toBe("");
  expect(verdict.log.at(-1)).toMatch(/^processed \d+ insns/);
}

describe("any bytes are a verdict", () => {
  test("at random", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), type, options, (bytes, t, o) =>
        isVerdict(bare(bytes, t), o),
      ),
      {
        numRuns: 400,
      },
    );
  });

  test("instructions with small fields", () => {
    const insn = fc
      .tuple(
        fc.nat(255),
        fc.nat(10),
        fc.nat(10),
        fc.integer({ min: -6, max: 6 }),
        fc.integer({ min: -3, max: 200 }),
      )
      .map(([opcode, dst, src, off, imm]) => {
        const bytes = new Uint8Array(INSN_BYTES);
        const view = new DataView(bytes.buffer);
        view.setUint8(0, opcode);
        view.setUint8(1, (src << 4) | dst);
        view.setInt16(2, off, true);
        view.setInt32(4, imm, true);
        return bytes;
      });
    const exit = Uint8Array.from([CLASS.jmp | 0x90, 0, 0, 0, 0, 0, 0, 0]);
    const programs = fc
      .array(insn, { maxLength: 12 })
      .map((list) => Uint8Array.from([...list, exit].flatMap((b) => [...b])));
    fc.assert(
      fc.property(programs, type, options, (bytes, t, o) => isVerdict(bare(bytes, t), o)),
      { numRuns: 1500 },
    );
  });

  test("sound programs with bytes changed", () => {
    const change = fc.array(fc.tuple(fc.nat(10_000), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.nat(5000), change, type, options, (seed, changes, t, o) => {
        const bytes = Uint8Array.from(generate(seed).bytecode);
        for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
        isVerdict(bare(bytes, t), o);
      }),
      { numRuns: 400 },
    );
  });
});
