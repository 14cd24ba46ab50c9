import { describe, expect, test } from "vitest";
import type { Program } from "../../../src/bpf/program.ts";
import { verify } from "../../../src/bpf/verifier/verify.ts";
import { linuxOracle, whySkipped } from "../../oracle/linux-oracle.ts";
import type { Case } from "./case.ts";
import { CASES } from "./cases.ts";
import { generateWith } from "./generate.ts";
import { generateScalars } from "./generate-scalars.ts";
import { firstDifference, kernelLines, ourLines } from "./kernel-log.ts";
import { kernelVerdicts } from "./kernel-verdict.ts";
import { program } from "./program-text.ts";

const oracle = linuxOracle();

/** BMC_FUZZ_LOGS=5000 for a long run. */
const SCALAR_PROGRAMS = Number(process.env.BMC_FUZZ_LOGS ?? 200);
const GENERATED = Math.ceil(SCALAR_PROGRAMS / 4);

/** Cases whose logs cannot be one, and why. */
const INCOMPARABLE: ReadonlySet<string> = new Set([
  "unbounded loop", // the oracle's buffer holds the end of the kernel's log only
  "xskmap: a socket as another type of it", // a pointer of the kernel's own type, a number to us
  "lock in a map without one", // bare bytecode brings no BTF, an object does
]);
/** The kernel takes a tail call in a subprogram with BTF only, which bare bytecode has not. */
const isComparable = ({ name, text }: Case): boolean =>
  !text.includes("= func ") && !INCOMPARABLE.has(name) && !/exit\n[\s\S]*:[\s\S]*tail_call/.test(text);

type Named = { readonly name: string; readonly program: Program };

/** The kernel counts the open back edges of may_goto among its states; we do not. */
function withoutPeak(line: string): string {
  return line.replace(/ peak_states \d+/, "");
}

function disagreements(named: readonly Named[]): string[] {
  const verdicts = kernelVerdicts(
    named.map((item) => item.program),
    2,
  );
  return named.flatMap(({ name, program: it }, i) => {
    const difference = firstDifference(
      kernelLines(verdicts[i]?.log ?? []).map(withoutPeak),
      ourLines(verify(it, { logLevel: 2 }).log).map(withoutPeak),
    );
    return difference === null ? [] : [`${name}: ${difference}`];
  });
}

describe.skipIf(typeof oracle === "string")(
  `the level-2 log equals the running kernel's, line by line${whySkipped(oracle)}`,
  () => {
    test("on every case", () => {
      const cases = CASES.filter(isComparable);
      expect(disagreements(cases.map(({ name, text }) => ({ name, program: program(text) })))).toEqual([]);
    });

    test(`on ${SCALAR_PROGRAMS} programs of arithmetic and comparisons`, () => {
      const seeds = Array.from({ length: SCALAR_PROGRAMS }, (_, i) => i + 1);
      expect(
        disagreements(
          seeds.map((seed) => ({ name: `seed ${seed}`, program: program(generateScalars(seed)) })),
        ),
      ).toEqual([]);
    });

    test(`on ${GENERATED} generated programs of one function`, () => {
      const seeds = Array.from({ length: GENERATED }, (_, i) => i + 1);
      expect(
        disagreements(
          seeds.map((seed) => ({
            name: `seed ${seed}`,
            program: generateWith(seed, "one function").program,
          })),
        ),
      ).toEqual([]);
    });
  },
);
