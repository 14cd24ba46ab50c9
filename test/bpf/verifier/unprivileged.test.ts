/**
 * `--unprivileged` against Linux as nobody: every small case as a socket filter, and generated filters. It
 * needs kernel.unprivileged_bpf_disabled at 0 for a second or two, so it runs on request only; a guard process
 * puts the setting back even if the test is killed.
 */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
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

/** Maps nobody may create: they need BTF, or are for CAP_BPF. */
const ROOTS_MAPS = new Set(["lru_hash", "sockmap", "sockhash", "percpu_hash"]);
const isForNobody = ({ maps }: Program) =>
  maps.every((map) => map.spinLockOffset === undefined && !ROOTS_MAPS.has(map.type));

/**
 * Linux also refuses arithmetic that it cannot mask against speculation, where paths bring different
 * pointers or limits to one instruction. Ours knows no speculation: it accepts these, as a CPU without it may.
 */
const isAboutSpeculation = (log: readonly string[]) =>
  log.some((line) => line.includes("pointer arithmetic with it prohibited for !root"));

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
    if (ours.accepted && !theirs.accepted && isAboutSpeculation(theirs.log)) {
      matrix.speculation++;
      return;
    }
    matrix[`${theirs.accepted ? "accept" : "reject"}/${ours.accepted ? "accept" : "reject"}`]++;
    if (ours.accepted !== theirs.accepted)
      disagreements.push(`${name}: ${ours.message} ${theirs.log.slice(-2)}`);
  });
  return { matrix, disagreements };
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

  test(`on ${COUNT} generated filters`, { timeout: 3_600_000 }, () => {
    const programs = Array.from({ length: COUNT }, (_, seed) => ({
      name: `seed ${seed}`,
      program: generateWith(seed, "unprivileged").program,
    })).filter((row) => isForNobody(row.program));
    const { matrix, disagreements } = compare(programs);
    console.log(`verdicts as nobody, kernel/ours, on ${programs.length} programs: ${JSON.stringify(matrix)}`);
    expect(disagreements).toEqual([]);
  });

  test("and leaves the setting as it was", () => {
    expect(readFileSync(SWITCH, "utf8")).toBe(before);
  });
});
