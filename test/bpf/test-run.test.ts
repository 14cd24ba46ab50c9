import { describe, expect, it, test } from "vitest";
import { Kernel } from "../../src/bpf/kernel.ts";
import type { ProgramType } from "../../src/bpf/program.ts";
import { type TestRunInput, testRun } from "../../src/bpf/test-run.ts";
import { linuxOracle, whySkipped } from "../oracle/linux-oracle.ts";
import { assembled } from "./assembled.ts";

const oracle = linuxOracle();
const TYPE_ID = { xdp: 6, tc: 3 } as const;

function run(type: ProgramType, text: string, input: TestRunInput) {
  const kernel = new Kernel();
  const packet = kernel.createPacketBuffer(type);
  return testRun(kernel, kernel.load(assembled(text, { type })), packet, input);
}

/** Context bytes by field offset. */
function context(bytes: number, fields: Readonly<Record<number, number>>): Uint8Array {
  const out = new Uint8Array(bytes);
  const view = new DataView(out.buffer);
  for (const [offset, value] of Object.entries(fields)) view.setUint32(Number(offset), value, true);
  return out;
}

const PACKET = Uint8Array.from({ length: 64 }, (_, i) => i);
/** The metadata's length: data - data_meta. */
const META_BYTES =
  "r2 = *(u32 *)(r1 + 0)\nr3 = *(u32 *)(r1 + 8)\nr4 = r3\nr4 += 8\nr0 = 0\nif r4 > r2 goto +1\nr0 = *(u8 *)(r3 + 1)\nexit";

type Case = {
  name: string;
  type: "xdp" | "tc";
  text: string;
  context: Uint8Array;
  retval: number;
  out: string;
};
const CASES: readonly Case[] = [
  {
    name: "xdp_md.data says how much of the data is metadata",
    type: "xdp",
    text: META_BYTES,
    context: context(24, { 0: 8, 4: 64, 12: 1 }),
    retval: 1,
    out: "080000004000000000000000010000000000000000000000",
  },
  {
    name: "xdp_md.data may be 0",
    type: "xdp",
    text: META_BYTES,
    context: context(24, { 4: 64, 12: 1 }),
    retval: 0,
    out: "000000004000000000000000010000000000000000000000",
  },
  {
    name: "__sk_buff gives and takes back mark, priority and cb",
    type: "tc",
    text: "r0 = *(u32 *)(r1 + 8)\nr2 = *(u32 *)(r1 + 32)\nr0 += r2\nr2 = *(u32 *)(r1 + 52)\nr0 += r2\n*(u32 *)(r1 + 8) = 9\n*(u32 *)(r1 + 60) = 77\nexit",
    context: context(192, { 8: 5, 32: 6, 52: 7, 40: 1 }),
    retval: 18,
    out: Buffer.from(context(192, { 8: 9, 32: 6, 40: 1, 52: 7, 60: 77, 160: 64 })).toString("hex"),
  },
];

describe("testRun", () => {
  test.each(CASES)("$name", ({ type, text, context: given, retval, out }) => {
    const result = run(type, text, { data: PACKET, context: given });
    expect(result.retval).toBe(retval);
    expect(Buffer.from(result.context).toString("hex")).toBe(out);
  });

  it("starts every repeat from the same packet and context", () => {
    const text = "r0 = *(u32 *)(r1 + 8)\nr0 += 1\n*(u32 *)(r1 + 8) = r0\nexit";
    const result = run("tc", text, { data: PACKET, context: context(192, { 8: 5 }), repeat: 10 });
    expect(result.retval).toBe(6);
    expect(result.instructions).toBe(4);
    expect(result.nsPerRun).toBeGreaterThanOrEqual(0);
  });

  it("gives a packet longer than a frame room again after a short one", () => {
    const kernel = new Kernel();
    const packet = kernel.createPacketBuffer("xdp");
    const loaded = kernel.load(assembled("r2 = 100\ncall bpf_xdp_adjust_tail#65\nexit"));
    expect(testRun(kernel, loaded, packet, { data: new Uint8Array(3_500) }).retval).toBe(-22 >>> 0);
    const long = testRun(kernel, loaded, packet, { data: new Uint8Array(9_000) });
    expect([long.retval, long.data.length]).toEqual([0, 9_100]);
    expect(testRun(kernel, loaded, packet, { data: new Uint8Array(3_500) }).retval).toBe(-22 >>> 0);
  });

  it("runs sk_skb programs, which Linux cannot, over the packet as it is", () => {
    const result = run("sk_skb", "r0 = *(u32 *)(r1 + 0)\nexit", { data: PACKET });
    expect([result.retval, result.data.length]).toEqual([64, 64]);
  });

  test.each<[name: string, type: ProgramType, input: TestRunInput, message: RegExp]>([
    ["a packet too long", "xdp", { data: new Uint8Array(70_000) }, /70000 bytes; at most 66048/],
    [
      "a context too long",
      "xdp",
      { data: PACKET, context: new Uint8Array(25) },
      /25 bytes; this program's has 24/,
    ],
    ["data_end beside the data", "xdp", { data: PACKET, context: context(24, { 4: 63 }) }, /data_end is 63/],
    ["data_meta set", "xdp", { data: PACKET, context: context(24, { 4: 64, 8: 4 }) }, /data_meta must be 0/],
    ["odd metadata", "xdp", { data: PACKET, context: context(24, { 0: 3, 4: 64 }) }, /data is 3/],
    [
      "a field that is not the user's",
      "tc",
      { data: PACKET, context: context(192, { 0: 64 }) },
      /len must be 0/,
    ],
  ])("refuses %s", (_name, type, input, message) => {
    expect(() => run(type, "r0 = 0\nexit", input)).toThrow(message);
  });
});

describe.skipIf(typeof oracle === "string")(`test runs with a context on Linux${whySkipped(oracle)}`, () => {
  test.each(CASES)("$name", ({ type, text, context: given, retval, out }) => {
    if (typeof oracle === "string") return;
    const code = Buffer.from(assembled(text, { type }).bytecode).toString("hex");
    const data = Buffer.from(PACKET).toString("hex");
    const [answer] = oracle.ask([
      [`prog ${TYPE_ID[type]} ${code}`, `run 1 ${data} ${Buffer.from(given).toString("hex")}`],
    ]);
    const [word, value, , , contextOut] = (answer?.at(-1) ?? "").split(" ");
    expect([word, Number(value), contextOut?.slice(0, out.length)]).toEqual(["run", retval, out]);
  });
});
