import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { assemble } from "../../src/bpf/assembler.ts";
import { parseObject } from "../../src/bpf/elf/object.ts";
import type { Program } from "../../src/bpf/program.ts";
import { run } from "../../src/cli/audit.ts";
import { loadProfile } from "../../src/cli/config-files.ts";
import { auditProgram } from "../../src/sim/audit.ts";

const xdp = loadProfile("xdp-native");
function program(text: string): Program {
  const result = assemble(text, { type: "xdp" });
  if (!result.ok) throw new Error(result.errors.map((e) => e.message).join());
  return result.program;
}

/** Copies `words` eight-byte words of the packet to the stack, one turn of a loop each. */
const copyLoop = (words: number) =>
  program(`
    r2 = *(u32 *)(r1 + 0)
    r3 = *(u32 *)(r1 + 4)
    r4 = r2
    r4 += ${words * 8}
    if r4 > r3 goto out
    r5 = r10
    r5 += -${words * 8}
    r6 = 0
  again:
    r7 = *(u64 *)(r2 + 0)
    *(u64 *)(r5 + 0) = r7
    r2 += 8
    r5 += 8
    r6 += 1
    if r6 < ${words} goto again
    r0 = 3
    exit
  out:
    r0 = 2
    exit`);

describe("auditProgram", () => {
  test.each([1, 5, 62, 64])("a loop over %i words copies that many on its longest path", (words) => {
    const { copies, verdicts } = auditProgram(copyLoop(words), xdp);
    expect(copies).toMatchObject([{ kind: "loop", bytes: words * 8, large: words * 8 > 500 }]);
    expect(copies[0]!.ns).toBeCloseTo(words * 8 * xdp.ns.ebpfByte, 9);
    const tx = verdicts.find((v) => v.verdict === "XDP_TX")!;
    expect(tx.copiedBytes).toBe(words * 8);
    // Ten instructions outside the loop, whose own are in the price of the bytes.
    expect(tx.instructions).toBe(10);
    const ns = 38 + 10 * xdp.ns.instruction + words * 8 * xdp.ns.ebpfByte;
    expect([tx.minNs, tx.maxNs]).toEqual([expect.closeTo(ns, 6), expect.closeTo(ns, 6)]);
    expect(tx.copyShare).toBeCloseTo((words * 8 * xdp.ns.ebpfByte) / ns, 9);
    expect(verdicts.find((v) => v.verdict === "XDP_PASS")).toMatchObject({ copiedBytes: 0, instructions: 7 });
  });

  test("a helper's greatest size is its proven bound", () => {
    const p = program(`
      r6 = r1
      r2 = *(u32 *)(r6 + 0)
      r3 = *(u32 *)(r6 + 4)
      r4 = r3
      r4 -= r2
      r4 &= 255
      r4 += 1
      r3 = r10
      r3 += -256
      r1 = r6
      r2 = 0
      call bpf_xdp_load_bytes#189
      r0 = 2
      exit`);
    expect(auditProgram(p, xdp).copies).toMatchObject([
      { kind: "helper", what: "bpf_xdp_load_bytes", bytes: 256 },
    ]);
  });

  test.each([
    ["from the packet into a record of a ring buffer", "r0", "r7"],
    ["from a record of a ring buffer to the stack", "r10", "r0"],
  ])("8 bytes %s are copied", (_name, to, from) => {
    const { copies } = auditProgram(
      program(`
      .map ring ringbuf key=0 value=0 entries=4096
      r7 = *(u32 *)(r1 + 0)
      r8 = *(u32 *)(r1 + 4)
      r1 = ring ll
      r2 = 64
      r3 = 0
      call bpf_ringbuf_reserve
      if r0 == 0 goto out
      r6 = r0
      r1 = r7
      r1 += 8
      if r1 > r8 goto give
      r5 = ${to}
      ${to === "r10" ? "r5 += -8" : ""}
      r4 = *(u64 *)(${from} + 0)
      *(u64 *)(r5 + 0) = r4
    give:
      r1 = r6
      r2 = 0
      call bpf_ringbuf_submit
    out:
      r0 = 2
      exit`),
      xdp,
    );
    expect(copies).toMatchObject([{ kind: "straight", bytes: 8 }]);
  });

  test("what is put into a ring buffer whole is copied by the helper", () => {
    const { copies } = auditProgram(
      program(`
      .map ring ringbuf key=0 value=0 entries=4096
      r2 = r10
      r2 += -32
      r1 = ring ll
      r3 = 32
      r4 = 0
      call bpf_ringbuf_output
      r0 = 2
      exit`),
      xdp,
    );
    expect(copies).toMatchObject([{ kind: "helper", what: "bpf_ringbuf_output", bytes: 32 }]);
  });

  test("a program that stores only what it computed copies nothing", () => {
    const p = program("r2 = 7\n*(u64 *)(r10 - 8) = r2\nr0 = 2\nexit");
    expect(auditProgram(p, xdp)).toMatchObject({
      copies: [],
      verdicts: [{ verdict: "XDP_PASS", paths: 1, copiedBytes: 0 }],
    });
  });

  test("the shipped verdict copies the hot tier's largest value in one loop, and is marked for it", () => {
    const object = parseObject(readFileSync("src/programs/http_kv.bpf.o"));
    if (!object.ok) throw new Error(object.error.message);
    const verdict = object.object.programs.find((p) => p.name === "http_kv_verdict")!;
    const { copies, verdicts } = auditProgram(verdict, loadProfile("sk_skb"));
    expect(copies[0]).toMatchObject({ kind: "loop", bytes: 1000, large: true });
    expect(copies.slice(1).every((c) => !c.large)).toBe(true);
    for (const v of verdicts) {
      expect(v.minNs).toBeLessThanOrEqual(v.maxNs);
      expect(v.minNs).toBeGreaterThan(1072 + 1350);
      expect(v.copyShare).toBeLessThan(1);
    }
    expect(Math.max(...verdicts.map((v) => v.copiedBytes))).toBeGreaterThanOrEqual(1000);
  }, 60_000);
});

describe("bmc audit", () => {
  test.each<[string[], string, number]>([
    [[], "no object file named", 2],
    [["/no/such.o"], "/no/such.o", 2],
    [["a.o", "b.o"], "unexpected 'b.o'", 2],
    [["src/programs/http_kv.bpf.o", "--program", "nosuch"], "there is no such program", 2],
    [["src/programs/http_kv.bpf.o", "--profile", "warp"], "unknown profile 'warp'", 2],
  ])("%j is one line", (argv, message, exitCode) => {
    let error: (Error & { exitCode?: number }) | null = null;
    try {
      run(argv);
    } catch (e) {
      error = e as Error;
    }
    expect(error?.message).toContain(message);
    expect(error?.message).not.toContain("\n");
    expect(error?.exitCode ?? 2).toBe(exitCode);
  });
});
