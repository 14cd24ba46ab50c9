import { describe, expect, it } from "vitest";
import type { CompileInput } from "../../../src/bpf/engine.ts";
import { compileProgram, emitModule, type JitOptions } from "../../../src/bpf/jit/compile.ts";
import { inputOfText } from "./compile-input.ts";

function inputOf(text: string, checked: boolean): CompileInput {
  return inputOfText(text, { checked });
}

/** Runs a program that tail-calls itself; r0 is how often it could. */
function tailCallsTaken(options: JitOptions): bigint {
  const input = inputOf(
    `.map next prog_array key=4 value=4 entries=1
     r2 = next ll
     r3 = 0
     call bpf_tail_call
     r0 = 7
     exit`,
    false,
  );
  const executable = compileProgram(input, options);
  input.rt.programs.set(1, { id: 1, type: "xdp", executable });
  input.maps[0]!.set(new Uint8Array(4), new Uint8Array([1, 0, 0, 0]));
  input.rt.begin("xdp");
  expect(executable.run64(0n, 0n)).toBe(7n);
  return BigInt(input.rt.tailCalls);
}

const LOOP = "r0 = 0\nagain: r0 += 1\nif r0 != 50 goto again\nexit";

describe("JIT options", () => {
  it("nests calls where the host has no wasm tail calls, to the same effect", () => {
    expect(tailCallsTaken({ tailCalls: true })).toBe(33n);
    expect(tailCallsTaken({ tailCalls: false })).toBe(33n);
  });

  it("emits tail calls only when asked", () => {
    const input = inputOf(
      ".map n prog_array key=4 value=4 entries=1\nr2 = n ll\ncall bpf_tail_call\nexit",
      false,
    );
    const withThem = emitModule(input, { tailCalls: true }).wasm;
    const without = emitModule(input, { tailCalls: false }).wasm;
    expect(without.length).toBe(withThem.length + 1); // call and return instead of one opcode
    expect(WebAssembly.validate(without)).toBe(true);
  });

  it("counts instructions, or leaves counting out", () => {
    const counted = compileProgram(inputOf(LOOP, false));
    const uncounted = compileProgram(inputOf(LOOP, false), { counts: false });
    expect([counted.run(0), uncounted.run(0)]).toEqual([50, 50]);
    expect([counted.instructions, uncounted.instructions]).toEqual([1 + 2 * 50 + 1, 0]);
  });

  it("ends a checked run that exceeds its budget, and lets one that meets it end", () => {
    expect(compileProgram(inputOf(LOOP, true), { budget: 102 }).run(0)).toBe(50);
    expect(() => compileProgram(inputOf(LOOP, true), { budget: 101 }).run(0)).toThrow(/budget/);
  });

  it("makes equal bytes from equal input", () => {
    const [a, b] = [inputOf(LOOP, true), inputOf(LOOP, true)].map((input) => emitModule(input).wasm);
    expect(Buffer.from(a!).equals(Buffer.from(b!))).toBe(true);
  });

  it.each([
    ["that all lead to the end", (i: number) => `if r1 == ${i} goto done\nr0 += 1`],
    ["that lead on, each past an exit", (i: number) => `if r1 != ${i} goto on${i}\nexit\non${i}: r0 += 1`],
  ])("compiles a program of 8,000 branches %s", (_what, line) => {
    const lines = ["r0 = 0"];
    for (let i = 0; i < 8000; i++) lines.push(line(i));
    const input = inputOf(`${lines.join("\n")}\ndone: exit`, false);
    expect(compileProgram(input).run(7999)).toBe(7999);
  });
});
