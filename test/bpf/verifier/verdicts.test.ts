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
  // Callbacks and tail calls in subprograms need BTF, which bare bytecode has not; objects with it are
  // compared elsewhere.
  const cases = CASES.filter(
    ({ text }) => !text.includes("= func ") && !/call f\b.*f: .*bpf_tail_call/s.test(text),
  );

  test("on every case", () => {
    const verdicts = kernelVerdicts(cases.map(({ text }) => program(text)));
    const disagreements = cases.flatMap(({ name, accepts }, i) =>
      verdicts[i]?.accepted === accepts ? [] : [[name, verdicts[i]?.log.slice(-2)]],
    );
    expect(disagreements).toEqual([]);
  });

  test.each(["xdp", "tc", "sk_skb", "socket_filter"])("on every access to the context of %s", (type) => {
    const accesses: string[] = [];
    for (let off = 0; off < (type === "xdp" ? 32 : 200); off++) {
      for (const bytes of [1, 2, 4, 8]) {
        if (off % bytes !== 0) continue;
        const place = `*(u${bytes * 8} *)(r1 + ${off})`;
        accesses.push(`r2 = ${place}`, `${place} = 0`);
      }
    }
    const programs = accesses.map((access) => program(`.type ${type}\nr0 = 0\n${access}\nexit`));
    const verdicts = kernelVerdicts(programs, 0);
    const disagreements = accesses.filter((_, i) => verify(programs[i]!).accepted !== verdicts[i]?.accepted);
    expect(disagreements).toEqual([]);
  });
});
