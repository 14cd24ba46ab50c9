import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { answer } from "../../src/lab/verifier/answer.ts";
import { knownBits, parseNumber } from "../../src/lab/verifier/known-number.ts";
import { PACKETS, SEEDS } from "../../src/lab/verifier/packets.ts";
import { assignments, isBegin, parseWalk, stateAt } from "../../src/lab/verifier/walk-log.ts";

function walkOf(text: string) {
  const reply = answer({ kind: "verify", source: { kind: "text", text }, options: {} });
  if (reply.kind !== "verified") throw new Error(JSON.stringify(reply));
  return { verdict: reply.verdict, steps: parseWalk(reply.verdict.log) };
}

describe("the walk of a verification", () => {
  const { verdict, steps } = walkOf(`
    r6 = r1
    call bpf_get_prandom_u32
    r0 &= 7
    *(u64 *)(r10 - 8) = r0
    if r0 > 3 goto big
    r0 = 1
    goto end
    big: r0 = 1
    end: r0 = 2
    r1 = 0
    r2 = 0
    r3 = 0
    r4 = 0
    exit`);

  it("has every instruction walked, once for each time", () => {
    expect(verdict.accepted).toBe(true);
    const walked = steps.filter((step) => step.kind === "insn").length;
    const pruned = steps.filter((step) => step.kind === "safe").length;
    expect(walked + pruned).toBe(verdict.stats.insnsProcessed);
    expect(steps.filter(isBegin)).toHaveLength(2);
  });

  it("keeps state along a path, forgets what a helper clobbers, and knows what changed", () => {
    const mask = steps.findIndex((step) => step.text.includes("r0 &= 7"));
    const state = stateAt(steps, mask);
    const { values } = state.frames[0] ?? { values: new Map() };
    expect(values.get("R6")).toBe("ctx()");
    expect(values.has("R1")).toBe(false);
    expect(state.changed).toEqual(new Set(["R0"]));
    expect(parseNumber(values.get("R0") ?? "")).toEqual({ umin: 0n, umax: 7n, value: 0n, mask: 7n });
  });

  it("starts the other side of a branch from the branch's own state", () => {
    const resumed = steps.findIndex((step) => step.kind === "resume");
    const number = parseNumber(stateAt(steps, resumed).frames[0]?.values.get("R0") ?? "");
    expect([number?.umin, number?.umax]).toEqual([4n, 7n]);
  });

  it("ends a rejected walk at the instruction that broke the rule", () => {
    const broken = walkOf("r2 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r2 + 0)\nexit");
    expect(broken.verdict.accepted).toBe(false);
    expect(broken.steps.at(-1)).toMatchObject({ kind: "insn", insn: broken.verdict.insn });
  });

  it("shows the frames of a called function and drops them at its return", () => {
    const called = walkOf("r6 = 5\ncall inner\nr0 = 2\nexit\ninner: r0 = 1\nexit").steps;
    const inside = called.findIndex((step) => step.text.includes("r0 = 1"));
    expect(stateAt(called, inside).frames).toHaveLength(2);
    const outside = stateAt(called, called.length - 1).frames;
    expect(outside).toHaveLength(1);
    expect(outside[0]?.values.get("R6")).toBe("5");
  });
});

describe("values of the log", () => {
  it("may contain spaces", () => {
    expect(assignments("R1=scalar(smin=0,umax=255,var_off=(0x0; 0xff)) fp-8=0000????")).toEqual([
      ["R1", "scalar(smin=0,umax=255,var_off=(0x0; 0xff))"],
      ["fp-8", "0000????"],
    ]);
  });

  it.each([
    ["P7", "0111"],
    ["scalar(smin=umin=4,smax=umax=7,var_off=(0x4; 0x3))", "01??"],
    ["scalar()", "? × 64"],
  ])("%s has the bits %s", (text, bits) => {
    const number = parseNumber(text);
    expect(number && knownBits(number)).toBe(bits);
  });

  it("that are pointers are no numbers", () => expect(parseNumber("pkt(r=4)")).toBeNull());
});

describe("the shipped fast path", () => {
  const bytes = new Uint8Array(readFileSync(new URL("../../src/programs/http_kv.bpf.o", import.meta.url)));
  it.each([
    [0, true],
    [1, false],
  ])("packet %i is answered: %s", (index, isHit) => {
    const reply = answer({
      kind: "run",
      source: { kind: "object", bytes, program: "http_kv_verdict" },
      packet: PACKETS[index]?.bytes ?? new Uint8Array(),
      seeds: SEEDS,
    });
    if (reply.kind !== "ran") throw new Error(JSON.stringify(reply));
    const text = Buffer.from(reply.result.packet).toString("latin1");
    expect(text.includes("Hello from the hot map")).toBe(isHit);
    expect(text.startsWith("HTTP/1.1 200 OK")).toBe(isHit);
    expect(reply.result.fault).toBeNull();
  });
});
