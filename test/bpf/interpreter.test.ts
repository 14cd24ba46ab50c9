import { describe, expect, it } from "vitest";
import { decode } from "../../src/bpf/codec.ts";
import { InterpretedProgram, type TraceStep } from "../../src/bpf/interpreter.ts";
import { checkProgram } from "../../src/bpf/load-checks.ts";
import { Runtime } from "../../src/bpf/runtime.ts";
import { assembled } from "./assembled.ts";

function interpreted(text: string): InterpretedProgram {
  const decoded = decode(assembled(text).bytecode);
  if (!decoded.ok) throw new Error(decoded.error.message);
  const check = checkProgram(decoded.slots, 0);
  if (!check.ok) throw new Error(check.message);
  return new InterpretedProgram({
    slots: decoded.slots,
    functions: check.functions,
    maps: [],
    rt: new Runtime(),
    checked: true,
  });
}

describe("the interpreter's trace", () => {
  it("yields each instruction with registers before and after, and what it stored", () => {
    const program = interpreted("r2 = 7\n*(u16 *)(r10 - 2) = r2\ncall f\nexit\nf: r0 = r2\nr0 += 1\nexit");
    const trace = program.trace(5n);
    const steps: TraceStep[] = [];
    let next = trace.next();
    for (; !next.done; next = trace.next()) steps.push(next.value);
    expect(next.value).toBe(8n);
    expect(steps.map(({ slot, depth }) => [slot, depth])).toEqual([
      [0, 1],
      [1, 1],
      [2, 1],
      [4, 2],
      [5, 2],
      [6, 2],
      [3, 1],
    ]);
    expect([steps[0]?.before[1], steps[0]?.before[2], steps[0]?.after[2]]).toEqual([5n, 0n, 7n]);
    const top = Number(steps[1]?.after[10]);
    expect(steps[1]?.writes).toEqual([{ address: top - 2, bytes: new Uint8Array([7, 0]) }]);
    expect(steps[4]?.insn.kind).toBe("alu");
    expect(steps[3]?.after[10]).toBe(BigInt(top - 512));
  });

  it("throws the fault where the run would", () => {
    const trace = interpreted("r1 = 0\nr0 = *(u8 *)(r1 + 0)\nexit").trace(0n);
    expect(trace.next().value).toMatchObject({ slot: 0 });
    expect(() => trace.next()).toThrow("insn 1: 1-byte read at 0x0");
  });

  it("agrees with a run, step for step", () => {
    const program = interpreted("r0 = 0\nr2 = 5\nagain: r0 += r2\nr2 -= 1\nif r2 != 0 goto again\nexit");
    expect(program.run64(0n, 0n)).toBe(15n);
    const inOneGo = program.instructions;
    expect([...program.trace(0n)]).toHaveLength(inOneGo);
  });
});
