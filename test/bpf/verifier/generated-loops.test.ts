/**
 * Generated loops without a counted end: our verdict against the running kernel's, and accepted programs run
 * in both engines. BMC_FUZZ_LOOPS makes it longer. A disagreement prints its seed.
 */
import { describe, expect, test } from "vitest";
import type { Program } from "../../../src/bpf/program.ts";
import { verify } from "../../../src/bpf/verifier/verify.ts";
import { linuxOracle, whySkipped } from "../../oracle/linux-oracle.ts";
import { inputsOf, Twins } from "./execute.ts";
import { generateLoops } from "./generate-loops.ts";
import { kernelVerdicts } from "./kernel-verdict.ts";

const COUNT = Number(process.env.BMC_FUZZ_LOOPS ?? 150);
const FIRST = Number(process.env.BMC_FUZZ_SEED ?? 1);
/** Programs that take longer are left out: they say nothing more, and take the kernel seconds. */
const WALK_LIMIT = 20_000;
const RUNS = 2;
const BATCH = 100;
const HOUR_MS = 3_600_000;
const oracle = linuxOracle();

type Judged = { readonly seed: number; readonly program: Program; readonly accepted: boolean };

const judged = Array.from({ length: COUNT }, (_, i): Judged[] => {
  const program = generateLoops(FIRST + i);
  const { accepted, rule } = verify(program, { insnLimit: WALK_LIMIT });
  return rule === "too-complex" ? [] : [{ seed: FIRST + i, program, accepted }];
}).flat();

describe("generated loops", () => {
  test("are accepted or refused in a fair share", () => {
    const accepted = judged.filter((one) => one.accepted).length;
    expect(accepted / COUNT).toBeGreaterThan(0.2);
    expect(accepted / COUNT).toBeLessThan(0.8);
    expect(judged.length / COUNT).toBeGreaterThan(0.7);
  });

  test("run without a fault where accepted, the same in both engines", { timeout: HOUR_MS }, () => {
    const twins = new Twins();
    const problems = judged.flatMap(({ seed, program, accepted }) => {
      const problem = accepted ? twins.run(program, inputsOf(program, seed, RUNS)).problem : null;
      return problem && !problem.includes("budget") ? [`seed ${seed}: ${problem}`] : [];
    });
    expect(problems).toEqual([]);
  });

  test.skipIf(typeof oracle === "string")(
    `get the kernel's verdict${whySkipped(oracle)}`,
    { timeout: HOUR_MS },
    () => {
      const disagreements: string[] = [];
      for (let from = 0; from < judged.length; from += BATCH) {
        const batch = judged.slice(from, from + BATCH);
        const verdicts = kernelVerdicts(
          batch.map(({ program }) => program),
          1,
        );
        batch.forEach(({ seed, accepted }, i) => {
          const theirs = verdicts[i]!;
          // Out of budget is no verdict on the program: Linux keeps a whole cycle of code open until its
          // first round is done, we close each head of a loop as soon as all behind it is walked.
          if (theirs.accepted === accepted || theirs.log.some((line) => line.includes("too large"))) return;
          disagreements.push(`seed ${seed}: kernel ${theirs.accepted}: ${theirs.log.slice(-3).join(" ")}`);
        });
      }
      expect(disagreements).toEqual([]);
    },
  );
});
