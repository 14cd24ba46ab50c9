import { describe, expect, it, test } from "vitest";
import { assemble } from "../../src/bpf/assembler.ts";
import { linuxOracle, whySkipped } from "../oracle/linux-oracle.ts";
import { VECTORS } from "./vectors/all.ts";
import type { Vector } from "./vectors/vector.ts";

const XDP = 6;
const PACKET_BYTES = 256;
const oracle = linuxOracle();
const judged = VECTORS.filter((vector) => vector.notLinux === undefined);

/**
 * The vector as a function that an XDP program calls: its r1 and r2 as in a bare run, its whole r0 and its
 * memory written to the packet, because a test run returns 32 bits only.
 */
function wrapped({ text, memory }: Vector): string {
  const bytes = Buffer.from(memory ?? "", "hex");
  // 8-byte slots: the stack must not hold half-initialised words.
  const span = Math.ceil(bytes.length / 8) * 8;
  const at = (i: number) => `*(u8 *)(r10 - ${span - i})`;
  return [
    "r6 = r1",
    ...Array.from(bytes, (byte, i) => `${at(i)} = ${byte}`),
    ...(bytes.length > 0 ? ["r1 = r10", `r1 += -${span}`] : ["r1 = 0"]),
    `r2 = ${bytes.length}`,
    "call body",
    "r7 = r0",
    "r2 = *(u32 *)(r6 + 0)",
    "r3 = *(u32 *)(r6 + 4)",
    "r4 = r2",
    `r4 += ${8 + bytes.length}`,
    "if r4 > r3 goto short",
    "*(u64 *)(r2 + 0) = r7",
    ...Array.from(bytes, (_, i) => [`r5 = ${at(i)}`, `*(u8 *)(r2 + ${8 + i}) = r5`]).flat(),
    "short:",
    "r0 = 2",
    "exit",
    "body:",
    text,
  ].join("\n");
}

function question(vector: Vector): string[] {
  const result = assemble(wrapped(vector), { type: "xdp" });
  if (!result.ok) throw new Error(`${vector.name}: ${result.errors[0].message}`);
  const code = Buffer.from(result.program.bytecode).toString("hex");
  return [`prog ${XDP} ${code}`, `run 1 ${"00".repeat(PACKET_BYTES)} -`];
}

describe.skipIf(typeof oracle === "string")(`vectors on Linux${whySkipped(oracle)}`, () => {
  const answers = typeof oracle === "string" ? [] : oracle.ask(judged.map(question));

  test.each(judged.map((vector, i) => ({ ...vector, answer: answers[i] ?? [] })))(
    "$group: $name",
    ({ r0, memory, memoryAfter, answer }) => {
      const [word, verdict, , packet] = (answer.at(-1) ?? "").split(" ");
      expect({ word, verdict, log: answer.slice(0, -1) }).toEqual({ word: "run", verdict: "2", log: [] });
      const bytes = Buffer.from(packet ?? "", "hex");
      expect(bytes.readBigUInt64LE(0).toString(16)).toBe(r0.toString(16));
      const expected = memoryAfter ?? memory ?? "";
      expect(bytes.subarray(8, 8 + expected.length / 2).toString("hex")).toBe(expected);
    },
  );
});

it("every vector that Linux cannot judge says why", () => {
  for (const { notLinux } of VECTORS) expect(notLinux === undefined || notLinux.length > 10).toBe(true);
});
