import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it, test } from "vitest";
import { assemble } from "../../src/bpf/assembler.ts";
import type { EngineName } from "../../src/bpf/engine.ts";
import { Kernel } from "../../src/bpf/kernel.ts";
import type { Program } from "../../src/bpf/program.ts";
import { testRun } from "../../src/bpf/test-run.ts";
import { linuxOracle, whySkipped } from "../oracle/linux-oracle.ts";
import { HELPER_CASES, type HelperCase } from "./helper-cases.ts";

/**
 * Linux's answers, by case: return value and packet afterwards (long ones as length and digest). Written by
 * a run with BMC_UPDATE_ANSWERS=1 where bpf() is permitted.
 */
const ANSWERS_FILE = new URL("helper-answers.json", import.meta.url);
const PROGRAM_TYPE = { xdp: 6, tc: 3, socket_filter: 1 } as const;
const ENGINES: readonly EngineName[] = ["jit", "interpreter"];
const oracle = linuxOracle();

function programOf({ name, text, type }: HelperCase): Program {
  const result = assemble(text, { type });
  if (!result.ok) throw new Error(`${name}: ${result.errors[0].message}`);
  return result.program;
}

function answer(retval: number, packetHex: string): string {
  const packet =
    packetHex.length <= 160
      ? packetHex
      : `${packetHex.length / 2} bytes ${createHash("sha256").update(packetHex).digest("hex").slice(0, 16)}`;
  return `${retval} ${packet}`;
}

function askLinux(): Map<string, string> {
  if (typeof oracle === "string") return new Map();
  const answers = oracle.ask(
    HELPER_CASES.map((row) => [
      `prog ${PROGRAM_TYPE[row.type]} ${Buffer.from(programOf(row).bytecode).toString("hex")}`,
      `run 1 ${row.packet} -`,
    ]),
  );
  return new Map(
    HELPER_CASES.map((row, i) => {
      const lines = answers[i] ?? [];
      const [word, retval, , packet] = (lines.at(-1) ?? "").split(" ");
      const text = word === "run" ? answer(Number(retval), packet ?? "") : lines.join("; ");
      return [row.name, text];
    }),
  );
}

const linux = askLinux();
if (process.env.BMC_UPDATE_ANSWERS && linux.size > 0) {
  writeFileSync(ANSWERS_FILE, `${JSON.stringify(Object.fromEntries(linux), null, 2)}\n`);
}
const answers = new Map<string, string>(Object.entries(JSON.parse(readFileSync(ANSWERS_FILE, "utf8"))));

describe.each(ENGINES)("helpers on the %s answer as Linux 6.18", (engine) => {
  test.each(HELPER_CASES)("$name", (row) => {
    const kernel = new Kernel();
    const packet = kernel.createPacketBuffer(row.type);
    const loaded = kernel.load(programOf(row), { engine, verify: false });
    const result = testRun(kernel, loaded, packet, { data: Uint8Array.from(Buffer.from(row.packet, "hex")) });
    expect(result.fault).toBeNull();
    expect(answer(result.retval, Buffer.from(result.data).toString("hex"))).toBe(answers.get(row.name));
  });
});

describe.skipIf(typeof oracle === "string")(`helpers on the running Linux${whySkipped(oracle)}`, () => {
  test.each(HELPER_CASES)("$name", ({ name }) => {
    expect(linux.get(name)).toBe(answers.get(name));
  });
});

it("every case has a name of its own", () => {
  expect(new Set(HELPER_CASES.map((row) => row.name)).size).toBe(HELPER_CASES.length);
});
