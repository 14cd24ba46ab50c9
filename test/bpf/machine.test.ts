import { describe, expect, it } from "vitest";
import { assemble } from "../../src/bpf/assembler.ts";
import { Kernel } from "../../src/bpf/kernel.ts";

/** One run in the interpreter over a packet. */
function run(text: string, packet: Uint8Array = new Uint8Array(64)) {
  const assembled = assemble(text, { type: "xdp" });
  if (!assembled.ok) throw new Error(assembled.errors[0].message);
  const kernel = new Kernel({ clockNs: () => 123n, random: () => 7 });
  const buffer = kernel.createPacketBuffer("xdp");
  const loaded = kernel.load(assembled.program, { engine: "interpreter", verify: false });
  buffer.reset(packet);
  const verdict = loaded.run(buffer.ctxAddress);
  return { verdict, loaded, kernel, buffer };
}

describe("kernel", () => {
  it("runs a program over a packet", () => {
    const { verdict, loaded } = run(
      "r2 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r2 + 3)\nexit",
      new Uint8Array([1, 2, 3, 42]),
    );
    expect(loaded.fault).toBeNull();
    expect(verdict).toBe(42);
    expect(loaded.stats).toEqual({ runs: 1, instructions: 3 });
  });

  it("answers the fault verdict and keeps the fault of a stray load", () => {
    const { verdict, loaded } = run("r2 = *(u32 *)(r1 + 4)\nr0 = *(u8 *)(r2 + 0)\nexit");
    expect(verdict).toBe(0);
    expect(loaded.fault).toMatchObject({ kind: "memory", insn: 1 });
  });
});
