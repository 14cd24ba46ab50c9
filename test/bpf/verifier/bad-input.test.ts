import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { assemble } from "../../../src/bpf/assembler.ts";
import { parseObject } from "../../../src/bpf/elf/object.ts";
import { CLASS, INSN_BYTES } from "../../../src/bpf/isa.ts";
import { PROGRAM_TYPES, type Program, type ProgramType } from "../../../src/bpf/program.ts";
import { verify } from "../../../src/bpf/verifier/verify.ts";
import { CASES } from "./cases.ts";
import { FUZZ_MAPS } from "./generate/maps.ts";
import { generate } from "./generate.ts";

/** Of each kind of bad input; `npm run fuzz` asks for more. */
const RUNS = Number(process.env.BMC_FUZZ_RUNS ?? 400);
const LIMIT = { insnLimit: 3000, logLevel: 2 } as const;

function bare(bytecode: Uint8Array, type: ProgramType): Program {
  return {
    name: "x",
    section: type,
    type,
    bytecode,
    maps: Object.values(FUZZ_MAPS),
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
  test("at random", { timeout: 3_600_000 }, () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), type, options, (bytes, t, o) =>
        isVerdict(bare(bytes, t), o),
      ),
      { numRuns: RUNS },
    );
  });

  test("instructions with small fields", { timeout: 3_600_000 }, () => {
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
      { numRuns: 4 * RUNS },
    );
  });

  test("sound programs with bytes changed", { timeout: 3_600_000 }, () => {
    const change = fc.array(fc.tuple(fc.nat(10_000), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.nat(5000), change, type, options, (seed, changes, t, o) => {
        const bytes = Uint8Array.from(generate(seed).bytecode);
        for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
        isVerdict(bare(bytes, t), o);
      }),
      { numRuns: RUNS },
    );
  });
});

describe("any object is a verdict or one sentence", () => {
  const folder = new URL("../../../src/programs/", import.meta.url);
  const names = readdirSync(folder).filter((name) => name.endsWith(".bpf.o"));
  const objects = new Map(names.map((name) => [name, Uint8Array.from(readFileSync(new URL(name, folder)))]));
  const byte = fc.oneof(fc.constantFrom(0, 1, 7, 0x7f, 0x80, 0xff), fc.nat(255));
  const place = fc.double({ min: 0, max: 1, noNaN: true });
  const changes = fc.array(fc.tuple(place, byte), { minLength: 1, maxLength: 12 });

  test("our own ones with bytes changed, and cut short", { timeout: 3_600_000 }, () => {
    fc.assert(
      fc.property(fc.constantFrom(...names), changes, fc.option(place), options, (name, edits, cut, o) => {
        const whole = Uint8Array.from(objects.get(name)!);
        for (const [at, value] of edits) whole[Math.floor(at * (whole.length - 1))] = value;
        const bytes = cut === null || cut < 0.5 ? whole : whole.subarray(0, Math.floor(cut * whole.length));
        const result = parseObject(bytes, { type: "xdp" });
        if (!result.ok) expect(result.error.message).toMatch(/^[^\n]+$/);
        else for (const program of result.object.programs) isVerdict(program, o);
      }),
      { numRuns: Math.ceil(RUNS / 2) },
    );
  });
});

describe("any text is a program or its errors", () => {
  const piece = fc.oneof(
    fc.constantFrom(...CASES.flatMap(({ text }) => text.split(/(?=\n)|(?<=[ =(,+])/))),
    fc.string({ maxLength: 6 }),
  );
  const text = fc.oneof(
    fc.string(),
    fc.array(piece, { maxLength: 40 }).map((pieces) => pieces.join("")),
  );

  test("of random characters, and of pieces of programs", { timeout: 3_600_000 }, () => {
    fc.assert(
      fc.property(text, options, (source, o) => {
        const result = assemble(source);
        if (result.ok) isVerdict(result.program, o);
        else
          for (const { line, message } of result.errors)
            expect([line > 0, message !== ""]).toEqual([true, true]);
      }),
      { numRuns: 3 * RUNS },
    );
  });
});
