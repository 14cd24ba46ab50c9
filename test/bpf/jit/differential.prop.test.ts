import { describe, expect, it } from "vitest";
import { disassemble } from "../../../src/bpf/disassembler.ts";
import type { CompileInput, Executable } from "../../../src/bpf/engine.ts";
import { InterpretedProgram } from "../../../src/bpf/interpreter.ts";
import { buildCfg } from "../../../src/bpf/jit/cfg.ts";
import { compileProgram } from "../../../src/bpf/jit/compile.ts";
import { Runtime } from "../../../src/bpf/runtime.ts";
import { inputOfSlots } from "./compile-input.ts";
import { FUZZ_MAPS, randomOf, randomProgram } from "./random-program.ts";

/** `BMC_FUZZ_SECONDS=600 npx vitest run … differential` for a long run, BMC_FUZZ_SEED to repeat one. */
const SECONDS = Number(process.env.BMC_FUZZ_SECONDS ?? 4);
const FIRST_SEED = Number(process.env.BMC_FUZZ_SEED ?? Date.now() % 2 ** 31);

const ENGINES: readonly [name: string, checked: boolean, make: (input: CompileInput) => Executable][] = [
  ["interpreter", true, (input) => new InterpretedProgram(input)],
  ["jit, unchecked", false, (input) => compileProgram(input)],
  ["jit, checked", true, (input) => compileProgram(input)],
  [
    "jit without counts or tail calls",
    false,
    (input) => compileProgram(input, { counts: false, tailCalls: false }),
  ],
];

type Outcome = { r0: string; instructions: number; maps: string };

function outcomeOf(seed: number, index: number): Outcome {
  const [, checked, make] = ENGINES[index]!;
  const random = randomOf(seed);
  const rt = new Runtime({ cpus: 2, random: () => Math.floor(random() * 2 ** 32), clockNs: () => 1n });
  rt.cpu = seed & 1;
  const input = inputOfSlots(randomProgram(seed), FUZZ_MAPS, { checked, rt });
  const executable = make(input);
  rt.begin("xdp");
  const r0 = executable.run64(0n, 0n).toString(16);
  rt.end();
  const maps = input.maps.map((map) =>
    [...map.entries()].map((entry) => entry.map((b) => Buffer.from(b).toString("hex")).join("=")).join(" "),
  );
  return { r0, instructions: executable.instructions, maps: maps.join("; ") };
}

function listing(seed: number): string {
  return disassemble(randomProgram(seed))
    .map(({ slot, text }) => `${slot}: ${text}`)
    .join("\n");
}

describe("the JIT and the interpreter", () => {
  it(`agree on random programs (first seed ${FIRST_SEED}, ${SECONDS} s)`, {
    timeout: (SECONDS + 20) * 1000,
  }, () => {
    const end = performance.now() + SECONDS * 1000;
    let seed = FIRST_SEED;
    for (let runs = 0; runs < 20 || performance.now() < end; runs++, seed++) {
      const expected = outcomeOf(seed, 0);
      for (let i = 1; i < ENGINES.length; i++) {
        const got = outcomeOf(seed, i);
        if (i === 3) got.instructions = expected.instructions;
        expect(got, `BMC_FUZZ_SEED=${seed}: ${ENGINES[i]![0]}\n${listing(seed)}`).toEqual(expected);
      }
    }
    expect(seed - FIRST_SEED).toBeGreaterThanOrEqual(20);
  });

  it("are held to reducible and irreducible graphs, subprograms and callbacks", () => {
    const seen = { irreducible: 0, loops: 0, calls: 0, callbacks: 0 };
    for (let seed = 1; seed <= 60; seed++) {
      const { slots, functions } = inputOfSlots(randomProgram(seed), FUZZ_MAPS, { checked: true });
      functions.forEach((start, i) => {
        const cfg = buildCfg(slots, start, functions[i + 1] ?? slots.length);
        if (!cfg.isReducible) seen.irreducible++;
        else if (cfg.isLoopHeader.includes(true)) seen.loops++;
      });
      for (const insn of slots) {
        if (insn?.kind === "call" && insn.target === "local") seen.calls++;
        if (insn?.kind === "wide" && insn.pseudo === "func") seen.callbacks++;
      }
    }
    for (const [what, count] of Object.entries(seen)) expect(count, what).toBeGreaterThan(5);
  });
});
