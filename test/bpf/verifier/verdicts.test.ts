import { describe, expect, test } from "vitest";
import { verify } from "../../../src/bpf/verifier/verify.ts";
import { linuxOracle, whySkipped } from "../../oracle/linux-oracle.ts";
import { CASES } from "./cases.ts";
import { kernelVerdicts } from "./kernel-verdict.ts";
import { DISAGREEMENTS } from "./known-disagreements.ts";
import { program } from "./program-text.ts";

const oracle = linuxOracle();

function socketAccess(kind: "sock" | "sock_common" | "tcp_sock", place: string): string {
  return `.type tc
*(u64 *)(r10 - 16) = 0
*(u64 *)(r10 - 8) = 0
r2 = r10
r2 += -16
r3 = 12
r4 = -1
r5 = 0
call bpf_${kind === "sock_common" ? "skc_lookup_tcp" : "sk_lookup_tcp"}
if r0 == 0 goto out
r6 = r0
${kind === "tcp_sock" ? "r1 = r0\ncall bpf_tcp_sock\nif r0 == 0 goto release" : ""}
r2 = ${place}
release: r1 = r6
call bpf_sk_release
out: r0 = 0
exit`;
}

describe("verdicts on small programs, as Linux 6.18 gives them", () => {
  test.each(CASES)("$name", ({ text, accepts, says }) => {
    const verdict = verify(program(text));
    expect({ accepted: verdict.accepted, message: accepts ? "" : verdict.message }).toEqual({
      accepted: accepts,
      message: accepts ? "" : expect.stringContaining(says ?? ""),
    });
  });

  test.each(DISAGREEMENTS)("our own on $name: $why", ({ text, weAccept }) => {
    expect(verify(program(text)).accepted).toBe(weAccept);
  });

  test("names are unique", () => {
    expect(new Set(CASES.map(({ name }) => name)).size).toBe(CASES.length);
  });
});

describe.skipIf(typeof oracle === "string")(`the running kernel agrees${whySkipped(oracle)}`, () => {
  test("on every case", { timeout: 180_000 }, () => {
    const verdicts = kernelVerdicts(CASES.map(({ text }) => program(text)));
    const disagreements = CASES.flatMap(({ name, accepts }, i) =>
      verdicts[i]?.accepted === accepts ? [] : [[name, verdicts[i]?.log.slice(-2)]],
    );
    expect(disagreements).toEqual([]);
  });

  test.each(DISAGREEMENTS)("but not on $name", ({ text, kernelAccepts }) => {
    expect(kernelVerdicts([program(text)])[0]?.accepted).toBe(kernelAccepts);
  });

  test.each(["sock", "sock_common", "tcp_sock"] as const)("on every access to a %s", (kind) => {
    const places = Array.from({ length: 120 }, (_, off) => off).flatMap((off) =>
      [1, 2, 4, 8].filter((bytes) => off % bytes === 0).map((bytes) => `*(u${bytes * 8} *)(r0 + ${off})`),
    );
    const programs = places.map((place) => program(socketAccess(kind, place)));
    const verdicts = kernelVerdicts(programs, 0);
    const disagreements = places.filter((_, i) => verify(programs[i]!).accepted !== verdicts[i]?.accepted);
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
