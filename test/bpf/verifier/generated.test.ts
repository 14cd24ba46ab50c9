/**
 * Generated programs: our verdict against the running kernel's, and accepted programs run in both engines.
 * Bounded here; `npm run fuzz` runs it long (BMC_FUZZ_PROGRAMS). A disagreement prints its seed.
 */
import { describe, expect, test } from "vitest";
import { verify } from "../../../src/bpf/verifier/verify.ts";
import { linuxOracle, whySkipped } from "../../oracle/linux-oracle.ts";
import { Twins } from "./execute.ts";
import { generate } from "./generate.ts";
import { kernelVerdicts } from "./kernel-verdict.ts";
import { KNOWN_DISAGREEMENTS } from "./known-disagreements.ts";

const COUNT = Number(process.env.BMC_FUZZ_PROGRAMS ?? 600);
const KERNEL_COUNT = Number(process.env.BMC_FUZZ_KERNEL_PROGRAMS ?? Math.min(COUNT, 400));
const FIRST = Number(process.env.BMC_FUZZ_SEED ?? 1);
const RUNS = 4;
const BATCH = 200;
const HOURS = 3_600_000;
const oracle = linuxOracle();

describe("generated programs", () => {
  test(`accepted ones of ${COUNT} run without a fault, the same in both engines`, {
    timeout: 12 * HOURS,
  }, () => {
    const twins = new Twins();
    const problems: string[] = [];
    let accepted = 0;
    for (let seed = FIRST; seed < FIRST + COUNT; seed++) {
      const program = generate(seed);
      if (!verify(program).accepted) continue;
      accepted++;
      const problem = twins.run(program, seed, RUNS);
      if (problem) problems.push(`seed ${seed}: ${problem}`);
    }
    expect(problems).toEqual([]);
    // The generator must not drift into programs that prove nothing either way.
    expect(accepted / COUNT).toBeGreaterThan(0.4);
    expect(accepted / COUNT).toBeLessThan(0.95);
    if (process.env.BMC_FUZZ_PROGRAMS)
      console.log(`${accepted} of ${COUNT} accepted, ${RUNS} runs each, 0 faults`);
  });

  test.skipIf(typeof oracle === "string")(
    `the kernel's verdict on ${KERNEL_COUNT}${whySkipped(oracle)}`,
    { timeout: 12 * HOURS },
    () => {
      const matrix = { "accept/accept": 0, "accept/reject": 0, "reject/accept": 0, "reject/reject": 0 };
      const disagreements: string[] = [];
      for (let from = FIRST; from < FIRST + KERNEL_COUNT; from += BATCH) {
        const count = Math.min(BATCH, FIRST + KERNEL_COUNT - from);
        const programs = Array.from({ length: count }, (_, i) => generate(from + i));
        const kernel = kernelVerdicts(programs, 1);
        programs.forEach((program, i) => {
          const ours = verify(program);
          const theirs = kernel[i]!;
          const key =
            `${theirs.accepted ? "accept" : "reject"}/${ours.accepted ? "accept" : "reject"}` as const;
          matrix[key]++;
          if (theirs.accepted !== ours.accepted && !KNOWN_DISAGREEMENTS.has(from + i)) {
            const why = ours.accepted ? theirs.log.slice(-3).join(" ") : ours.message;
            disagreements.push(`seed ${from + i}: kernel/ours ${key}: ${why}`);
          }
        });
      }
      console.log(`kernel/ours over ${KERNEL_COUNT} generated programs: ${JSON.stringify(matrix)}`);
      if (process.env.BMC_FUZZ_PROGRAMS) console.log(disagreements.join("\n"));
      // Long runs report; the bounded run has no room for a disagreement nobody has looked at.
      else expect(disagreements).toEqual([]);
    },
  );
});
