/**
 * Open-coded iterators end to end: clang's object through our loader, verifier and both engines, and
 * through the kernel's. What the programs return was recorded from Linux 6.18.
 */
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { afterAll, describe, expect, it, test } from "vitest";
import { decode } from "../../src/bpf/codec.ts";
import { disassemble } from "../../src/bpf/disassembler.ts";
import { Kernel, type LoadOptions } from "../../src/bpf/kernel.ts";
import type { Program } from "../../src/bpf/program.ts";
import { verify } from "../../src/bpf/verifier/verify.ts";
import { linuxOracle, whySkipped } from "../oracle/linux-oracle.ts";
import { fixtureObject, fixturePath } from "../support/fixtures.ts";
import { assembled } from "./assembled.ts";
import { forThisKernel, kernelVerdicts, mapLines } from "./verifier/kernel-verdict.ts";

const oracle = linuxOracle();
const PACKET = Uint8Array.from({ length: 100 }, (_, i) => (i * 37) % 5);
const TYPE_ID: Readonly<Record<string, number>> = { xdp: 6, tc: 3 };

const { programs } = fixtureObject("iterators");
const refused = fixtureObject("iterators-refused");

const RESULTS: Readonly<Record<string, number>> = {
  sum: 184,
  million: 1_178_555_762,
  nested: 41_553_434,
  fill: 53,
  count: 20,
  repeated: -1_012_083_128,
  ranges: 721_745_744,
  handed_on: 63,
  weak: 3,
};

const ENGINES: readonly (readonly [string, LoadOptions])[] = [
  ["jit", { engine: "jit" }],
  ["jit, every access checked", { engine: "jit", checked: true }],
  ["interpreter", { engine: "interpreter" }],
];

function run(program: Program, options: LoadOptions): number {
  const kernel = new Kernel({ clockNs: () => 5n, random: () => 7 });
  const buffer = kernel.createPacketBuffer(program.type);
  const loaded = kernel.load(program, options);
  buffer.reset(PACKET);
  const result = loaded.run(buffer.ctxAddress);
  expect(loaded.fault).toBeNull();
  return result;
}

describe.each(ENGINES)("iterators in the %s", (_name, options) => {
  // A million rounds in the interpreter take seconds; a loop is a loop.
  const some = programs.filter(({ name }) => name !== "million" || options.engine === "jit");

  test.each(some.map((program) => ({ name: program.name, program })))("$name", ({ name, program }) => {
    expect(run(program, options)).toBe(RESULTS[name]);
  });
});

describe("the loader", () => {
  it("names every program once", () => {
    expect(programs.map(({ name }) => name).toSorted()).toEqual(Object.keys(RESULTS).toSorted());
  });

  it("shows calls by name", () => {
    const decoded = decode(programs.find(({ name }) => name === "sum")!.bytecode);
    if (!decoded.ok) throw new Error(decoded.error.message);
    const calls = disassemble(decoded.slots).flatMap(({ text }) => (text.startsWith("call") ? [text] : []));
    expect(new Set(calls)).toEqual(
      new Set([
        "call bpf_iter_num_new#2000001",
        "call bpf_iter_num_next#2000002",
        "call bpf_iter_num_destroy#2000003",
      ]),
    );
  });

  it("skips a program that needs an unknown kernel function, by its name", () => {
    expect(refused.skipped).toEqual([
      {
        name: "unknown",
        section: "xdp",
        reason: expect.stringMatching(
          /^it calls the kernel function 'bmc_unknown_kfunc'.*known: bpf_iter_num_new/,
        ),
      },
    ]);
  });

  it("lets a weak one be absent where no path reaches it", () => {
    expect(programs.find(({ name }) => name === "weak")?.absentKfuncs).toEqual(["bmc_no_such_kfunc"]);
  });

  test.each([
    ["reaches_weak", "unknown-kfunc", "kfunc 'bmc_no_such_kfunc' is referenced but wasn't resolved"],
    ["leaks", "reference-leak", "Unreleased reference id=1 alloc_insn=4"],
    ["off_by_one", "map-value-bounds", "invalid access to map value, value_size=64 off=64 size=8"],
  ])("%s is refused: %s", (name, rule, message) => {
    const program = refused.programs.find((candidate) => candidate.name === name)!;
    expect(verify(program)).toMatchObject({
      accepted: false,
      rule,
      message: expect.stringContaining(message),
    });
  });
});

describe("an iterator nobody verified", () => {
  test.each(ENGINES)("outside the stack is a fault in the %s", (_name, { engine }) => {
    const kernel = new Kernel();
    const buffer = kernel.createPacketBuffer("xdp");
    const text = "r1 = 16\nr2 = 0\nr3 = 4\ncall bpf_iter_num_new\nr0 = 2\nexit";
    const loaded = kernel.load(assembled(text, { type: "xdp" }), { engine: engine!, verify: false });
    buffer.reset(PACKET);
    loaded.run(buffer.ctxAddress);
    expect(loaded.fault).toMatchObject({ kind: "memory" });
  });
});

describe.skipIf(typeof oracle === "string")(`the running kernel${whySkipped(oracle)}`, () => {
  it("accepts and refuses the same", () => {
    const all = [...programs, ...refused.programs];
    const theirs = kernelVerdicts(all).map(({ accepted }, i) => [all[i]!.name, accepted]);
    expect(theirs).toEqual(all.map((program) => [program.name, verify(program).accepted]));
  });

  it("returns the same", () => {
    if (typeof oracle === "string") return;
    const answers = oracle.ask(
      programs.map((program) => [
        ...mapLines(program),
        `prog ${TYPE_ID[program.type]} ${Buffer.from(forThisKernel(program.bytecode)).toString("hex")}`,
        `run 1 ${Buffer.from(PACKET).toString("hex")} -`,
      ]),
    );
    const theirs = answers.map((lines, i) => [programs[i]!.name, Number(lines.at(-1)?.split(" ")[1]) | 0]);
    expect(Object.fromEntries(theirs)).toEqual(RESULTS);
  });
});

const hasBpftool = spawnSync("bpftool", ["version"]).status === 0;
const PINS = `/sys/fs/bpf/bmc-iterators-${process.pid}`;

describe.skipIf(typeof oracle === "string" || !hasBpftool)(
  "libbpf, through bpftool (skipped: not installed)",
  () => {
    afterAll(() => rmSync(PINS, { recursive: true, force: true }));

    it("finds the same functions by the same names", () => {
      const { status, stderr } = spawnSync("bpftool", ["prog", "loadall", fixturePath("iterators"), PINS], {
        encoding: "utf8",
      });
      expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
    });
  },
);
