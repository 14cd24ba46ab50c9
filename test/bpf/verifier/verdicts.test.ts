import { describe, expect, test } from "vitest";
import { verify } from "../../../src/bpf/verifier/verify.ts";
import { linuxOracle, whySkipped } from "../../oracle/linux-oracle.ts";
import { CASES } from "./cases.ts";
import { kernelVerdicts } from "./kernel-verdict.ts";
import { program } from "./program-text.ts";

const oracle = linuxOracle();

describe("verdicts on small programs, as Linux 6.18 gives them", () => {
  test.each(CASES)("$name", ({ text, accepts, says }) => {
    const verdict = verify(program(text));
    expect({ accepted: verdict.accepted, message: accepts ? "" : verdict.message }).toEqual({
      accepted: accepts,
      message: accepts ? "" : expect.stringContaining(says ?? ""),
    });
  });

  test("names are unique", () => {
    expect(new Set(CASES.map(({ name }) => name)).size).toBe(CASES.length);
  });
});

describe.skipIf(typeof oracle === "string")(`the running kernel agrees${whySkipped(oracle)}`, () => {
  test("on every case", () => {
    const verdicts = kernelVerdicts(CASES.map(({ text }) => program(text)));
    const disagreements = CASES.filter(({ accepts }, i) => verdicts[i]?.accepted !== accepts);
    expect(disagreements.map(({ name }, i) => [name, verdicts[i]?.log.slice(-2)])).toEqual([]);
  });
});
