import { describe, expect, test } from "vitest";
import { encode, toSlots } from "../../../src/bpf/codec.ts";
import type { Instruction } from "../../../src/bpf/isa.ts";
import { PROGRAM_TYPES, type Program, type ProgramType } from "../../../src/bpf/program.ts";
import { verify } from "../../../src/bpf/verifier/verify.ts";
import { linuxOracle, whySkipped } from "../../oracle/linux-oracle.ts";
import { kernelVerdicts } from "./kernel-verdict.ts";
import { program } from "./program-text.ts";

const oracle = linuxOracle();

/** The last helper of Linux 6.18, and some beyond. */
const LAST_ID = 215;
const NOT_HERE = /cannot use helper|invalid func unknown/;

function calling(id: number, type: ProgramType): Program {
  const zero: Instruction = { kind: "alu", op: "mov", width: 64, dst: 0, src: null, imm: 0 };
  const bytecode = encode(toSlots([zero, { kind: "call", target: "helper", id }, zero, { kind: "exit" }]));
  return { ...program(`.type ${type}\nr0 = 0\nexit`), bytecode };
}

const SOCKETS = {
  sock_common: "r6 = r1",
  sock: "call bpf_sk_fullsock\nif r0 == 0 goto out\nr6 = r0",
  tcp_sock: "call bpf_tcp_sock\nif r0 == 0 goto out\nr6 = r0",
} as const;

describe.skipIf(typeof oracle === "string")(`what Linux 6.18 offers${whySkipped(oracle)}`, () => {
  test.each(PROGRAM_TYPES)("every helper is there or not there for %s as in the running kernel", (type) => {
    const programs = Array.from({ length: LAST_ID + 1 }, (_, id) => calling(id, type));
    const verdicts = kernelVerdicts(programs);
    const disagreements = programs.flatMap((it, id) => {
      const refusal = verdicts[id]?.log.find((line) => NOT_HERE.test(line)) ?? "";
      const ours = verify(it).message;
      return refusal === (NOT_HERE.test(ours) ? ours : "") ? [] : [`${id}: ${refusal} / ${ours}`];
    });
    expect(disagreements).toEqual([]);
  });

  test.each(Object.entries(SOCKETS))("every field of %s can be read as in the running kernel", (_, get) => {
    const accesses = [8, 16, 32, 64].flatMap((bits) =>
      Array.from({ length: 128 }, (_, off) => `*(u${bits} *)(r6 + ${off})`),
    );
    const programs = accesses.map((access) =>
      program(
        `.type tc\nr1 = *(u64 *)(r1 + 168)\nif r1 == 0 goto out\n${get}\nr0 = ${access}\nout: r0 = 0\nexit`,
      ),
    );
    const verdicts = kernelVerdicts(programs, 0);
    expect(accesses.filter((_, i) => verify(programs[i]!).accepted !== verdicts[i]?.accepted)).toEqual([]);
  });
});
