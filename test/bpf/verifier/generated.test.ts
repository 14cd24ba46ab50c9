/**
 * Generated programs: our verdict against the running kernel's; accepted programs run in both engines and
 * under BPF_PROG_TEST_RUN, on the same packets and maps. Bounded here; `npm run fuzz` runs it long
 * (BMC_FUZZ_PROGRAMS, BMC_FUZZ_SEED). What differs is printed with its seed.
 */
import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import type { Program } from "../../../src/bpf/program.ts";
import { verify } from "../../../src/bpf/verifier/verify.ts";
import { linuxOracle, whySkipped } from "../../oracle/linux-oracle.ts";
import { inputsOf, kernelAnswers, type RunInput, Twins } from "./execute.ts";
import { generateWith } from "./generate.ts";
import { kernelVerdicts } from "./kernel-verdict.ts";
import { isKernelBug, KNOWN_SEEDS } from "./known-disagreements.ts";

const COUNT = Number(process.env.BMC_FUZZ_PROGRAMS ?? 500);
const FIRST = Number(process.env.BMC_FUZZ_SEED ?? 1);
const RUNS = 3;
const BATCH = 100;
/** A long run says how far it is this often. */
const PROGRESS = 1000;
/** Fewer programs say nothing about the generator. */
const MANY = 100;
const HOURS = 3_600_000;
const oracle = linuxOracle();

type Judged = {
  readonly seed: number;
  readonly program: Program;
  readonly accepted: boolean;
  readonly message: string;
  readonly inputs: readonly RunInput[];
  /** What our engines made of each input; null where the kernel's runs may differ for good reasons. */
  readonly outcomes: readonly string[] | null;
};

const tally = {
  programs: 0,
  "accept/accept": 0,
  "accept/reject": 0,
  "reject/accept": 0,
  "reject/reject": 0,
  "kernel bug/accept": 0,
  "run twice": 0,
  "run under the kernel too": 0,
};
const problems: string[] = [];
const twins = new Twins();

/** Verifies, and runs what is accepted in both engines. */
function judge(seed: number): Judged {
  const { program, comparable } = generateWith(seed);
  const { accepted, message, missingHelpers } = verify(program);
  if (!accepted || missingHelpers.length > 0) {
    return { seed, program, accepted, message, inputs: [], outcomes: null };
  }
  const inputs = inputsOf(program, seed, RUNS);
  const { outcomes, problem } = twins.run(program, inputs);
  tally["run twice"]++;
  if (problem) problems.push(`seed ${seed}: ${problem}`);
  const isSame = comparable && program.type !== "sk_skb";
  return {
    seed,
    program,
    accepted,
    message,
    inputs: isSame ? inputs : [],
    outcomes: isSame ? outcomes : null,
  };
}

function compareWithKernel(batch: readonly Judged[]): void {
  const answers = kernelAnswers(batch);
  batch.forEach(({ seed, program, accepted, message, outcomes }, i) => {
    const kernel = answers[i]!;
    if (kernel.accepted !== accepted && !KNOWN_SEEDS.has(seed)) {
      const log = kernelVerdicts([program], 1)[0]!.log;
      if (isKernelBug(log)) {
        tally["kernel bug/accept"]++;
        return;
      }
      problems.push(
        `seed ${seed}: the kernel ${kernel.accepted ? "accepts" : "rejects"}: ${message} ${log.slice(-3).join(" ")}`,
      );
    }
    tally[`${kernel.accepted ? "accept" : "reject"}/${accepted ? "accept" : "reject"}`]++;
    if (!outcomes || !kernel.outcomes) return;
    tally["run under the kernel too"]++;
    const run = outcomes.findIndex((outcome, at) => outcome !== kernel.outcomes?.[at]);
    if (run >= 0) {
      problems.push(`seed ${seed}, run ${run}: kernel ${kernel.outcomes[run]}, ours ${outcomes[run]}`);
    }
  });
}

test(`${COUNT} generated programs from seed ${FIRST}: the kernel's verdict, no fault, the same result on interpreter, JIT and kernel${whySkipped(oracle)}`, {
  timeout: 12 * HOURS,
}, async () => {
  for (let from = FIRST; from < FIRST + COUNT; from += BATCH) {
    const count = Math.min(BATCH, FIRST + COUNT - from);
    const batch = Array.from({ length: count }, (_, i) => judge(from + i));
    tally.programs += count;
    if (typeof oracle !== "string") compareWithKernel(batch);
    if (tally.programs % PROGRESS === 0) {
      console.log(`${tally.programs} of ${COUNT}, ${problems.length} to look at: ${problems.slice(-1)}`);
    }
    // The runner hears from a test between turns of the event loop only, and gives up on one that is silent.
    await setImmediate();
  }
  console.log(`verdicts kernel/ours, and runs: ${JSON.stringify(tally)}`);
  expect(problems).toEqual([]);
  if (COUNT < MANY) return;
  // The generator must not drift into programs that prove nothing either way.
  expect(tally["run twice"] / COUNT).toBeGreaterThan(0.4);
  expect(tally["run twice"] / COUNT).toBeLessThan(0.95);
});
