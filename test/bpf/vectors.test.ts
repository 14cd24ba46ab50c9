import { describe, expect, it, test } from "vitest";
import { assemble } from "../../src/bpf/assembler.ts";
import { runBare } from "../../src/bpf/bare-run.ts";
import { conformanceGroup, decode } from "../../src/bpf/codec.ts";
import type { CompileInput, EngineName, Executable } from "../../src/bpf/engine.ts";
import { InterpretedProgram } from "../../src/bpf/interpreter.ts";
import { compileProgram } from "../../src/bpf/jit/compile.ts";
import { VECTORS } from "./vectors/all.ts";

const ENGINES: Record<EngineName, (input: CompileInput) => Executable> = {
  jit: (input) => compileProgram(input),
  interpreter: (input) => new InterpretedProgram(input),
};

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

function bytecodeOf(text: string): Uint8Array {
  const result = assemble(text, { type: "socket_filter" });
  if (!result.ok) throw new Error(`${text}\n${result.errors[0].line}: ${result.errors[0].message}`);
  return result.program.bytecode;
}

describe.each(Object.entries(ENGINES))("vectors on the %s", (_engine, make) => {
  test.each(VECTORS)("$group: $name", ({ text, memory, r0, memoryAfter }) => {
    const given = memory === undefined ? null : Uint8Array.from(Buffer.from(memory, "hex"));
    const outcome = runBare(bytecodeOf(text), given, make);
    if (r0 === "fault") {
      expect(outcome).toMatchObject({ ok: false, message: expect.stringMatching(/./) });
    } else {
      if (!outcome.ok) throw new Error(outcome.message);
      expect(outcome.r0.toString(16)).toBe(r0.toString(16));
      expect(hex(outcome.memory)).toBe(memoryAfter ?? memory ?? "");
    }
  });
});

describe("the vector suite", () => {
  it("runs every opcode that RFC 9669 has", () => {
    const seen = new Set<number>();
    for (const { text } of VECTORS) {
      const bytes = bytecodeOf(text);
      const decoded = decode(bytes);
      if (!decoded.ok) continue;
      decoded.slots.forEach((insn, slot) => {
        if (insn) seen.add(bytes[slot * 8]!);
      });
    }
    const missing: string[] = [];
    for (let opcode = 0; opcode < 256; opcode++) {
      if (conformanceGroup(opcode) !== null && !seen.has(opcode)) missing.push(opcode.toString(16));
    }
    expect(missing).toEqual([]);
  });
});
