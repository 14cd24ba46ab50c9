import { describe, expect, test } from "vitest";
import { type Verdict, verify } from "../../../src/bpf/verifier/verify.ts";
import { linuxOracle, whySkipped } from "../../oracle/linux-oracle.ts";
import { ITERATOR_CASES } from "./iterator-cases.ts";
import { kernelVerdicts } from "./kernel-verdict.ts";
import { program } from "./program-text.ts";

const oracle = linuxOracle();

describe("open-coded iterators, as Linux 6.18 takes them", () => {
  test.each(ITERATOR_CASES)("$name", ({ text, accepts, says }) => {
    const verdict = verify(program(text));
    expect({ accepted: verdict.accepted, message: accepts ? "" : verdict.message }).toEqual({
      accepted: accepts,
      message: accepts ? "" : expect.stringContaining(says ?? ""),
    });
  });

  test("a loop of a million rounds costs a few", () => {
    const { text } = ITERATOR_CASES.find(({ name }) => name.endsWith("a million rounds"))!;
    expect(verify(program(text)).stats.insnsProcessed).toBeLessThan(100);
  });

  test("the log shows an iterator as the kernel's does, and the report what holds it", () => {
    const text = `.type xdp
.license GPL
r1 = r10
r1 += -8
r2 = 0
r3 = 3
call bpf_iter_num_new
next: r1 = r10
r1 += -8
call bpf_iter_num_next
if r0 != 0 goto next
exit`;
    const verdict = verify(program(text), { logLevel: 2 });
    expect(verdict).toMatchObject({ accepted: false, rule: "reference-leak" });
    expect(verdict.state).toContain("fp-8=iter_num(ref_id=1,state=drained,depth=0)");
    const log = verdict.log.join("\n");
    expect(log).toContain(
      "call bpf_iter_num_new#2000001 ; R0=scalar() fp-8=iter_num(ref_id=1,state=active,depth=0)",
    );
    expect(log).toContain(
      "Unreleased reference id=1 alloc_insn=4\nBPF_EXIT instruction in main prog would lead",
    );
  });

  test("bytecode with a kernel's own number for a function names no function", () => {
    const verdict = verify(program(".type xdp\n.license GPL\ncall kfunc#64260\nr0 = 0\nexit"));
    expect(verdict).toMatchObject({
      accepted: false,
      rule: "unknown-kfunc",
      insn: 0,
      message: expect.stringContaining("btf_id 64260"),
    });
  });

  test("an unprivileged program calls no kernel function", () => {
    const text = ".type socket_filter\n.license GPL\nr1 = 0\ncall bpf_iter_num_destroy\nr0 = 0\nexit";
    expect(verify(program(text), { unprivileged: true })).toMatchObject({ rule: "unprivileged" });
  });
});

/** As objects: the kernel walks neither more nor fewer instructions than we do. */
const walked = (line: string | undefined) => Number(/processed (\d+) insns/.exec(line ?? "")?.[1]);
const last = (verdict: Pick<Verdict, "log">) => walked(verdict.log.at(-1));

describe.skipIf(typeof oracle === "string")(`the running kernel agrees${whySkipped(oracle)}`, () => {
  // The oracle loads everything under the GPL.
  const cases = ITERATOR_CASES.filter(({ text }) => !text.includes(".license BSD"));

  test("on every case, by the same number of instructions walked", () => {
    const verdicts = kernelVerdicts(cases.map(({ text }) => program(text)));
    const disagreements = cases.flatMap(({ name, text, accepts }, i) => {
      const kernel = verdicts[i]!;
      const ours = verify(program(text), { logLevel: 1 });
      const same = kernel.accepted === accepts && walked(kernel.log.at(-1)) === last(ours);
      return same ? [] : [[name, kernel.log.slice(-3), ours.log.slice(-3)]];
    });
    expect(disagreements).toEqual([]);
  });

  test("on the words of every refusal", () => {
    const refused = cases.filter(({ accepts }) => !accepts);
    const verdicts = kernelVerdicts(refused.map(({ text }) => program(text)));
    const disagreements = refused.flatMap(({ name, says }, i) => {
      const log = verdicts[i]!.log.slice(-6).join("\n");
      return log.includes(says ?? "") ? [] : [[name, log]];
    });
    expect(disagreements).toEqual([]);
  });
});
