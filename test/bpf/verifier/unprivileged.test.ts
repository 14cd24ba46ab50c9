/**
 * `--unprivileged` against Linux as nobody: every small case as a socket filter, and generated filters. It
 * needs kernel.unprivileged_bpf_disabled at 0 for a second or two, so it runs on request only; a guard process
 * puts the setting back even if the test is killed.
 */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { encode, toSlots } from "../../../src/bpf/codec.ts";
import type { Instruction } from "../../../src/bpf/isa.ts";
import type { Program } from "../../../src/bpf/program.ts";
import { verify } from "../../../src/bpf/verifier/verify.ts";
import { linuxOracle } from "../../oracle/linux-oracle.ts";
import { CASES } from "./cases.ts";
import { generateWith } from "./generate.ts";
import { kernelVerdicts } from "./kernel-verdict.ts";
import { program } from "./program-text.ts";

const SWITCH = "/proc/sys/kernel/unprivileged_bpf_disabled";
const before = existsSync(SWITCH) ? readFileSync(SWITCH, "utf8") : "";
const COUNT = Number(process.env.BMC_UNPRIVILEGED_PROGRAMS ?? 0);
const why =
  COUNT === 0
    ? " [skipped: it changes a system setting; BMC_UNPRIVILEGED_PROGRAMS=2000 asks for it]"
    : typeof linuxOracle() === "string"
      ? ` [skipped: ${linuxOracle()}]`
      : "";

/** Maps nobody may create: they need BTF, or are for CAP_BPF or CAP_NET_ADMIN. */
const ROOTS_MAPS = new Set([
  ...["percpu_hash", "lru_hash", "lru_percpu_hash", "lpm_trie", "bloom_filter", "queue", "stack"],
  ...["sockmap", "sockhash", "devmap", "devmap_hash", "cpumap", "xskmap", "stack_trace"],
]);
const isForNobody = ({ maps }: Program) =>
  maps.every(
    ({ type, spinLockOffset, inner }) =>
      spinLockOffset === undefined && !ROOTS_MAPS.has(type) && !ROOTS_MAPS.has(inner?.type ?? ""),
  );

/**
 * Linux also walks what a CPU may only speculate. Where such a path fails it puts a barrier before the instruction
 * instead of a mask, and then paths need not agree on one. Ours walks no such path.
 */
const needsBarrier = (ours: string) => ours.includes("from different maps, paths or scalars");

type Named = { readonly name: string; readonly program: Program };

function compare(programs: readonly Named[]) {
  const matrix = {
    "accept/accept": 0,
    "accept/reject": 0,
    "reject/accept": 0,
    "reject/reject": 0,
    speculation: 0,
  };
  const disagreements: string[] = [];
  const kernel = kernelVerdicts(
    programs.map((row) => row.program),
    1,
    "nobody",
  );
  programs.forEach(({ name, program: tried }, i) => {
    const ours = verify(tried, { unprivileged: true });
    const theirs = kernel[i]!;
    if (theirs.accepted && needsBarrier(ours.message)) {
      matrix.speculation++;
      return;
    }
    matrix[`${theirs.accepted ? "accept" : "reject"}/${ours.accepted ? "accept" : "reject"}`]++;
    if (ours.accepted !== theirs.accepted)
      disagreements.push(`${name}: ${ours.message} ${theirs.log.slice(-2)}`);
  });
  return { matrix, disagreements };
}

const HELPER_IDS = Array.from({ length: 216 }, (_, id) => id); // those of Linux 6.18, and some beyond
const NOT_OFFERED = /program of this type cannot use helper|invalid func unknown/;
/** Refused by ours in other words, whether Linux has it for nobody or not. */
const NOT_MODELLED = /is not known to this verifier|might sleep/;

function calling(id: number): Program {
  const zero: Instruction = { kind: "alu", op: "mov", width: 64, dst: 0, src: null, imm: 0 };
  const bytecode = encode(toSlots([zero, { kind: "call", target: "helper", id }, zero, { kind: "exit" }]));
  return { ...program(".type socket_filter\nr0 = 0\nexit"), bytecode };
}

describe.skipIf(why !== "")(`without privileges, as the running kernel${why}`, () => {
  test("on every case, as a socket filter", { timeout: 600_000 }, () => {
    const programs = CASES.map(({ name, text }) => ({
      name,
      program: program(text.replace(/\.type \w+/, ".type socket_filter")),
    })).filter((row) => isForNobody(row.program));
    const { matrix, disagreements } = compare(programs);
    console.log(`verdicts as nobody, kernel/ours, on ${programs.length} cases: ${JSON.stringify(matrix)}`);
    expect(disagreements).toEqual([]);
  });

  test("on which helpers there are", () => {
    const programs = HELPER_IDS.map(calling);
    const theirs = kernelVerdicts(programs, 1, "nobody").map(({ log }) => log.join("\n"));
    const ours = programs.map((it) => verify(it, { unprivileged: true }).message);
    const modelled = HELPER_IDS.filter((id) => !NOT_MODELLED.test(ours[id]!));
    const wrong = modelled.filter((id) => NOT_OFFERED.test(ours[id]!) !== NOT_OFFERED.test(theirs[id]!));
    expect(wrong).toEqual([]);
  });

  test(`on ${COUNT} generated filters`, { timeout: 3_600_000 }, () => {
    const programs = Array.from({ length: COUNT }, (_, seed) => ({
      name: `seed ${seed}`,
      program: generateWith(seed, "unprivileged").program,
    })).filter((row) => isForNobody(row.program));
    const { matrix, disagreements } = compare(programs);
    console.log(`verdicts as nobody, kernel/ours, on ${programs.length} programs: ${JSON.stringify(matrix)}`);
    expect(disagreements).toEqual([]);
    expect(matrix.speculation).toBeLessThanOrEqual(1 + COUNT / 200);
  });

  test("and leaves the setting as it was", () => {
    expect(readFileSync(SWITCH, "utf8")).toBe(before);
  });
});
