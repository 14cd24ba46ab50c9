import { describe, expect, test } from "vitest";
import { decode } from "../../../src/bpf/codec.ts";
import type { Program } from "../../../src/bpf/program.ts";
import { verify } from "../../../src/bpf/verifier/verify.ts";
import { linuxOracle, whySkipped } from "../../oracle/linux-oracle.ts";
import type { Case } from "./case.ts";
import { CASES } from "./cases.ts";
import { generateWith, type Scope } from "./generate.ts";
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

/** Rejections the kernel blames on itself (known-disagreements.ts), and logs longer than the oracle's buffer. */
function isWhole(log: readonly string[]): boolean {
  return !log.some((line) => line.startsWith("verifier bug")) && !/^ |^[^\d]*: \(/.test(log[0] ?? "");
}

function disagreements(named: readonly Named[], level: 1 | 2 = 2): string[] {
  const verdicts = kernelVerdicts(
    named.map((item) => item.program),
    level,
  );
  return named.flatMap(({ name, program: it }, i) => {
    const log = verdicts[i]?.log ?? [];
    if (!isWhole(log)) return [];
    const difference = firstDifference(
      kernelLines(log).map(withoutPeak),
      ourLines(verify(it, { logLevel: level }).log).map(withoutPeak),
    );
    return difference === null ? [] : [`${name}: ${difference}`];
  });
}

function generated(scope: Scope): Named[] {
  return Array.from({ length: GENERATED }, (_, i) => i + 1).map((seed) => ({
    name: `seed ${seed}`,
    program: generateWith(seed, scope).program,
  }));
}

/**
 * A register compared with itself has a side that no run takes: Linux walks it with ranges that contradict each
 * other. And what of a callback's stack may still be read Linux knows otherwise than we do.
 */
const comparesItself = ({ bytecode }: Program): boolean =>
  slotsOf(bytecode).some((insn) => insn?.kind === "branch" && insn.src === insn.dst);
const callsBack = ({ bytecode }: Program): boolean =>
  slotsOf(bytecode).some((insn) => insn?.kind === "wide" && insn.pseudo === "func");

function slotsOf(bytecode: Uint8Array) {
  const decoded = decode(bytecode);
  return decoded.ok ? decoded.slots : [];
}

describe.skipIf(typeof oracle === "string")(
  `the log equals the running kernel's, line by line${whySkipped(oracle)}`,
  () => {
    test("level 2 on every case", () => {
      const cases = CASES.filter(isComparable);
      expect(disagreements(cases.map(({ name, text }) => ({ name, program: program(text) })))).toEqual([]);
    });

    test(`level 2 on ${SCALAR_PROGRAMS} programs of arithmetic and comparisons`, () => {
      const seeds = Array.from({ length: SCALAR_PROGRAMS }, (_, i) => i + 1);
      expect(
        disagreements(
          seeds.map((seed) => ({ name: `seed ${seed}`, program: program(generateScalars(seed)) })),
        ),
      ).toEqual([]);
    });

    test.each([1, 2] as const)(`level %i on ${GENERATED} generated programs of one function`, (level) => {
      const programs = generated("one function").filter((it) => !comparesItself(it.program));
      expect(disagreements(programs, level)).toEqual([]);
    });

    test.each([1, 2] as const)(
      `level %i on ${GENERATED} generated programs with calls, locks and references`,
      (level) => {
        const programs = generated("all").filter(
          (it) => !comparesItself(it.program) && !callsBack(it.program),
        );
        expect(disagreements(programs, level)).toEqual([]);
      },
    );
  },
);
