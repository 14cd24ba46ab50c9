import { describe, expect, it } from "vitest";
import { assemble } from "../../src/bpf/assembler.ts";
import { MAX_STEPS, runProgram } from "../../src/lab/verifier/run-program.ts";

function program(text: string) {
  const result = assemble(text);
  if (!result.ok) throw new Error(result.errors[0].message);
  return result.program;
}

describe("runProgram", () => {
  it("shows each step's changed registers, what was written where, the verdict and the answer", () => {
    const result = runProgram(
      program(`.type xdp
        r2 = *(u32 *)(r1 + 0)
        r3 = *(u32 *)(r1 + 4)
        *(u64 *)(r10 - 8) = 7
        *(u8 *)(r2 + 1) = 0x58
        r0 = 3
        exit`),
      Uint8Array.from([1, 2, 3]),
    );
    expect(result).toMatchObject({ verdict: "XDP_TX", r0: 3n, fault: null, truncated: false });
    expect(Array.from(result.packet)).toEqual([1, 0x58, 3]);
    expect(result.steps).toHaveLength(6);
    expect(result.steps[0]?.changed).toEqual([2]);
    expect(result.steps[2]?.writes).toEqual([
      { place: "fp-8", bytes: Uint8Array.from([7, 0, 0, 0, 0, 0, 0, 0]) },
    ]);
    expect(result.steps[3]?.writes).toEqual([{ place: "packet+1", bytes: Uint8Array.from([0x58]) }]);
  });

  it("names the fault of a program that strays, after the steps that led there", () => {
    const result = runProgram(
      program("r2 = *(u32 *)(r1 + 4)\nr0 = *(u8 *)(r2 - 30000)\nexit"),
      new Uint8Array(4),
    );
    expect(result.fault).toMatch(/outside/);
    expect(result.steps).toHaveLength(1);
  });

  it("stops showing a program that never ends", () => {
    const result = runProgram(program("top: goto top\nexit"), new Uint8Array(1));
    expect(result.truncated).toBe(true);
    expect(result.steps).toHaveLength(MAX_STEPS);
  });
});
