/**
 * Our reading of real objects against llvm-objdump (instructions, line by line) and against bpftool and
 * the kernel (that the objects are real, and linked alike). Skipped where the tool is not installed or
 * bpf() is not permitted.
 */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { afterAll, describe, expect, it, test } from "vitest";
import { decode } from "../../../src/bpf/codec.ts";
import { disassemble } from "../../../src/bpf/disassembler.ts";
import { readElf, SECTION_FLAG } from "../../../src/bpf/elf/elf-file.ts";
import { parseObject } from "../../../src/bpf/elf/object.ts";
import { Budget } from "../../../src/bpf/elf/reader.ts";

const FOLDER = new URL("../../fixtures/bpf/", import.meta.url).pathname;
const PROGRAMS = new URL("../../../src/programs/", import.meta.url).pathname;
const OBJECTS = [FOLDER, PROGRAMS].flatMap((folder) =>
  readdirSync(folder)
    .filter((name) => name.endsWith(".o") && !name.startsWith("big-endian"))
    .map((name): [string, string] => [name, `${folder}${name}`]),
);

const version = spawnSync("llvm-objdump", ["--version"], { encoding: "utf8" }).stdout ?? "";
const isLlvm14 = /LLVM version 14\./.test(version);

/** llvm-objdump's instructions of a section: slot to text. */
function llvmListing(path: string, section: string): Map<number, string> {
  const args = ["-d", "--no-show-raw-insn", "--mcpu=v3", "-j", section, path];
  const { stdout } = spawnSync("llvm-objdump", args, { encoding: "utf8" });
  const lines = [...stdout.matchAll(/^ +(\d+):\t(.*)$/gm)];
  return new Map(
    lines.map(([, slot, text]) => [Number(slot), (text ?? "").replace(/ <[^ <>]*>$/, "").trim()]),
  );
}

/** Where this llvm prints something else than the bytes say, or nothing at all. */
function asLlvm14(text: string): string {
  // It drops the pc of a local call, and knows w registers only in what mcpu v3 added.
  return text.replace(/^call pc\+?(-?\d+)$/, "call $1");
}

describe.skipIf(!isLlvm14)("disassembler against llvm-objdump 14 (skipped: it is not installed)", () => {
  test.each(OBJECTS)("%s: every section, every line", (_, path) => {
    const elf = readElf(Uint8Array.from(readFileSync(path)), new Budget(2 ** 26));
    let compared = 0;
    for (const section of elf.sections) {
      if (!(section.flags & SECTION_FLAG.exec) || section.size === 0) continue;
      const theirs = llvmListing(path, section.name);
      const decoded = decode(section.data.bytes);
      if (!decoded.ok) throw new Error(decoded.error.message);
      for (const { slot, insn, text } of disassemble(decoded.slots, { dialect: "llvm" })) {
        const expected = theirs.get(slot);
        // 32-bit fetching atomics are beyond its disassembler.
        if (expected === "<unknown>" && insn.kind === "atomic" && insn.bytes === 4) continue;
        expect(w(asLlvm14(text)), `${section.name} ${slot}`).toBe(w(expected ?? ""));
        compared++;
      }
    }
    expect(compared).toBeGreaterThan(1);
  });
});

/** With mcpu v3 it names w registers in 32-bit loads and stores, where the kernel and we say r. */
function w(text: string): string {
  return /\((u8|u16|u32) \*\)\(/.test(text)
    ? text.replace(/^w(\d+) = /, "r$1 = ").replace(/ = w(\d+)$/, " = r$1")
    : text;
}

const BPFFS = "/sys/fs/bpf";
function bpftool(...args: string[]) {
  return spawnSync("bpftool", args, { encoding: "utf8" });
}
const canLoad = process.getuid?.() === 0 && bpftool("prog", "show").status === 0;

describe.skipIf(!canLoad)("objects against bpftool (skipped: not installed, or bpf() not permitted)", () => {
  const pins: string[] = [];
  afterAll(() => {
    for (const pin of pins) rmSync(pin, { recursive: true, force: true });
  });

  /** The kernel's own listing of each program, after it verified and loaded the object. */
  function load(object: string): string {
    // bpftool makes the folder, and mounts the file system first where nobody has.
    const pin = `${BPFFS}/bmc_fixture_${process.pid}_${pins.length}`;
    pins.push(pin);
    const { status, stderr } = bpftool("prog", "loadall", `${FOLDER}${object}`, pin);
    expect(stderr.replace(/^Warning: .*\n.*\n/, ""), object).not.toMatch(/Error/);
    expect(status).toBe(0);
    return pin;
  }

  it.each(["maps.bpf.o", "calls.bpf.o", "data.bpf.o", "isa.bpf.o"])("the kernel takes %s", (object) => {
    const pin = load(object);
    const result = parseObject(readFileSync(`${FOLDER}${object}`));
    if (!result.ok) throw new Error(result.error.message);
    expect(result.object.programs.map((program) => program.name).sort()).toEqual(readdirSync(pin).sort());
  });

  it("subprograms lie where libbpf puts them", () => {
    const pin = load("calls.bpf.o");
    const result = parseObject(readFileSync(`${FOLDER}calls.bpf.o`));
    if (!result.ok) throw new Error(result.error.message);
    for (const name of ["nested", "crosses"]) {
      const { stdout } = bpftool("prog", "dump", "xlated", "pinned", `${pin}/${name}`);
      // A function's C prototype stands above its first instruction.
      const starts = [...stdout.matchAll(/^\S[^;\n]*? \**(\w+)\(.*\):\n(?:;.*\n)*\s+(\d+):/gm)];
      const program = result.object.programs.find((candidate) => candidate.name === name);
      // The kernel widens context accesses in the entry function, so that all behind it moves alike.
      const theirs = starts.slice(1).map(([, label, slot]) => ({ name: label, start: Number(slot) }));
      const ours = program?.subprograms ?? [];
      const moved = (theirs[0]?.start ?? 0) - (ours[0]?.start ?? 0);
      expect(theirs).toEqual(ours.map((sub) => ({ name: sub.name, start: sub.start + moved })));
      expect(ours).toHaveLength(3);
    }
  });
});
