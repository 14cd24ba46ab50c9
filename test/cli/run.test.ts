import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it, test } from "vitest";

const CLI = new URL("../../dist/cli.js", import.meta.url).pathname;
const FIXTURES = new URL("../fixtures/bpf/", import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "bmc-run-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, "run", ...args], { encoding: "utf8" });
  return { status, stdout, stderr };
}

function json(...args: string[]) {
  const result = run(...args, "--json");
  expect(result.stderr).toBe("");
  return JSON.parse(result.stdout);
}

/** Pseudo-random but the same every time. */
function packetOf(bytes: number): Uint8Array {
  let state = 0x9e3779b9 ^ bytes;
  return Uint8Array.from({ length: bytes }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

const PACKET = file("packet", packetOf(64));
const SWAP = file(
  "swap.s",
  `r2 = *(u32 *)(r1 + 0)
r3 = *(u32 *)(r1 + 4)
r4 = r2
r4 += 2
r0 = 1
if r4 > r3 goto out
r5 = *(u8 *)(r2 + 0)
r6 = *(u8 *)(r2 + 1)
*(u8 *)(r2 + 0) = r6
*(u8 *)(r2 + 1) = r5
r0 = 3
out: exit
`,
);
const COUNT = file(
  "count.s",
  `.map counts hash key=4 value=8 entries=16
*(u32 *)(r10 - 4) = 7
r1 = counts ll
r2 = r10
r2 += -4
call bpf_map_lookup_elem#1
if r0 == 0 goto miss
r1 = *(u64 *)(r0 + 0)
r1 += 1
*(u64 *)(r0 + 0) = r1
r0 = 2
exit
miss: r0 = 1
exit
`,
);

describe.each(["jit", "interpreter"])("bmc run --engine %s", (engine) => {
  it("prints what bpftool prints first", () => {
    const { status, stdout } = run(SWAP, "--data-in", PACKET, "--engine", engine);
    expect(status).toBe(0);
    expect(stdout).toMatch(
      /^Return value: 3, duration \(average\): \d+ns\nXDP_TX, 12 instructions, 64 bytes out\n$/,
    );
  });

  it("writes the packet the program left, from the same packet every time", () => {
    const out = join(folder, "out");
    const result = json(SWAP, "--data-in", PACKET, "--data-out", out, "--repeat", "5", "--engine", engine);
    const expected = packetOf(64);
    [expected[0], expected[1]] = [expected[1]!, expected[0]!];
    expect(Uint8Array.from(readFileSync(out))).toEqual(expected);
    expect(result).toMatchObject({ retval: 3, verdict: "XDP_TX", repeat: 5, data_size_out: 64, engine });
    expect(result.data_out).toBe(Buffer.from(expected).toString("hex"));
  });

  it("puts entries into maps first and lists them afterwards", () => {
    const args = [COUNT, "--data-in", PACKET, "--engine", engine, "--dump-maps"];
    expect(json(...args)).toMatchObject({ retval: 1, maps: [{ name: "counts", type: "hash", entries: [] }] });
    const preset = json(...args, "--map", "counts=07000000:2900000000000000", "--repeat", "3");
    expect(preset).toMatchObject({
      retval: 2,
      maps: [{ entries: [{ key: "07000000", value: "2c00000000000000" }] }],
    });
    expect(run(...args, "--map", "counts=07000000:2900000000000000").stdout).toContain(
      "  key: 07 00 00 00  value: 2a 00 00 00 00 00 00 00\n",
    );
  });

  it("starts from a given context and gives it back", () => {
    const text = "r0 = *(u32 *)(r1 + 8)\n*(u32 *)(r1 + 8) = 9\nexit\n";
    const mark = file("mark.s", `.type tc\n${text}`);
    const context = new Uint8Array(192);
    context[8] = 5;
    const result = json(mark, "--data-in", PACKET, "--ctx-in", file("ctx", context), "--engine", engine);
    expect(result.retval).toBe(5);
    expect(result.ctx_out.slice(16, 24)).toBe("09000000");
  });

  it("hands out what trace_printk printed", () => {
    const text = `*(u64 *)(r10 - 8) = 0x0a642520\n*(u32 *)(r10 - 4) = 0\n*(u32 *)(r10 - 8) = 0x0a642520\nr1 = r10\nr1 += -8\nr2 = 8\nr3 = 42\ncall bpf_trace_printk#6\nr0 = 2\nexit\n`;
    expect(json(file("trace.s", text), "--data-in", PACKET, "--engine", engine)).toMatchObject({
      trace: [" 42"],
    });
  });
});

describe("bmc run refuses", () => {
  const STRAY = file("stray.s", "r2 = *(u32 *)(r1 + 4)\nr0 = *(u8 *)(r2 + 0)\nexit\n");

  test.each([[], ["--no-verify"], ["--engine", "interpreter"]])(
    "a map the machine has not, which verify judges (%s)",
    (...args) => {
      const text = `.type xdp
.map m ringbuf key=0 value=0 entries=4096
r1 = m ll\nr2 = 8\nr3 = 0\ncall bpf_ringbuf_reserve#131\nif r0 == 0 goto out
r1 = r0\nr2 = 0\ncall bpf_ringbuf_submit#132\nout: r0 = 2\nexit\n`;
      const path = file("ringbuf.s", text);
      const verify = spawnSync(process.execPath, [CLI, "verify", path], { encoding: "utf8" });
      expect(verify.status).toBe(0);
      const result = run(path, "--data-in", PACKET, ...args);
      expect(result).toMatchObject({ status: expect.toSatisfy((s) => s === 1 || s === 2), stdout: "" });
      expect(result.stderr).toMatch(
        /^[^\n]*map 'm' \(ringbuf\): this machine has no map of this type[^\n]*\n$/,
      );
    },
  );

  test.each<[name: string, args: string[], status: number, message: RegExp]>([
    ["a run without a packet", [SWAP], 2, /--data-in/],
    ["a missing file", [join(folder, "none.s"), "--data-in", PACKET], 2, /none\.s: ENOENT/],
    ["a missing packet", [SWAP, "--data-in", join(folder, "none")], 2, /none: ENOENT/],
    ["an unknown program", [SWAP, "--data-in", PACKET, "--program", "x"], 2, /no such program/],
    ["an unknown engine", [SWAP, "--data-in", PACKET, "--engine", "gpu"], 2, /--engine gpu/],
    ["a repeat of nothing", [SWAP, "--data-in", PACKET, "--repeat", "0"], 2, /--repeat 0/],
    ["an unknown map", [COUNT, "--data-in", PACKET, "--map", "x=00:00"], 2, /--map x: .*counts/],
    [
      "a key of another size",
      [COUNT, "--data-in", PACKET, "--map", "counts=00:00"],
      2,
      /the key has 1 bytes/,
    ],
    ["a preset of another shape", [COUNT, "--data-in", PACKET, "--map", "counts"], 2, /NAME=KEYHEX:VALUEHEX/],
    [
      "an object for another machine",
      [join(FIXTURES, "big-endian.bpf.o"), "--data-in", PACKET],
      2,
      /big-endian/,
    ],
    ["several programs", [join(FIXTURES, "calls.bpf.o"), "--data-in", PACKET], 2, /pick one with --program/],
    ["a fault", [STRAY, "--data-in", PACKET, "--no-verify"], 1, /faulted: insn 1: 1-byte read/],
  ])("%s", (_name, args, status, message) => {
    const result = run(...args);
    expect(result).toMatchObject({ status, stdout: "" });
    expect(result.stderr).toMatch(message);
    expect(result.stderr.trimEnd().split("\n")).toHaveLength(1);
  });
});
