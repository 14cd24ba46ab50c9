import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it, test } from "vitest";

const CLI = new URL("../../dist/cli.js", import.meta.url).pathname;
const FIXTURES = new URL("../fixtures/bpf/", import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "bmc-asm-"));
afterAll(() => rmSync(folder, { recursive: true }));

function bmc(args: string[], input: string | Uint8Array = "") {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], { input });
  return { status, stdout: stdout.toString("latin1"), stderr: stderr.toString() };
}

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

describe("bmc asm", () => {
  const source = "r0 = 42\nexit\n";
  const hex = "b70000002a0000009500000000000000";

  it("writes a file with -o", () => {
    const out = join(folder, "out.bin");
    expect(bmc(["asm", file("a.s", source), "-o", out])).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(readFileSync(out).toString("hex")).toBe(hex);
  });

  it("writes bytecode to a pipe, base16 with --hex", () => {
    expect(Buffer.from(bmc(["asm", "-"], source).stdout, "latin1").toString("hex")).toBe(hex);
    expect(bmc(["asm", "-", "--hex"], source).stdout).toBe(`${hex}\n`);
  });

  it("feeds bmc exec", () => {
    expect(bmc(["exec"], bmc(["asm", "-", "--hex"], source).stdout).stdout).toBe("2a\n");
  });

  test.each<[title: string, args: () => string[], message: string]>([
    [
      "a mistake, with its place",
      () => ["asm", file("bad.s", "r0 = 1\n  r0 = rr\nfoo\n")],
      `bmc: ${join(folder, "bad.s")}:2:8: expected a register or a number, found 'rr' (and 1 more)\n`,
    ],
    [
      "an empty text",
      () => ["asm", file("empty.s", "")],
      `bmc: ${join(folder, "empty.s")}:1:1: expected at least one instruction, found end of text\n`,
    ],
    [
      "a missing file",
      () => ["asm", join(folder, "none.s")],
      `bmc: cannot read ${join(folder, "none.s")}: ENOENT\n`,
    ],
    ["no file", () => ["asm"], "bmc: asm takes one FILE.s, or - for stdin\n"],
    [
      "an output that cannot be written",
      () => ["asm", file("ok.s", source), "-o", join(folder, "no", "where")],
      `bmc: cannot write ${join(folder, "no", "where")}: ENOENT\n`,
    ],
  ])("refuses %s in one line, exit 2", (_, args, message) => {
    expect(bmc(args())).toEqual({ status: 2, stdout: "", stderr: message });
  });

  it("names an unknown flag", () => {
    const { status, stderr } = bmc(["asm", "--bogus", "x.s"]);
    expect(status).toBe(2);
    expect(stderr).toMatch(/^bmc: Unknown option '--bogus'.* \(see 'bmc asm --help'\)\n$/);
  });
});

describe("bmc disasm", () => {
  it("shows C lines between instructions, and what it prints assembles to the same bytes", () => {
    const listing = bmc(["disasm", `${FIXTURES}calls.bpf.o`, "--program", "loops"]);
    expect(listing.status).toBe(0);
    expect(listing.stdout).toContain("; return x * 3 + 1; @ calls.bpf.c:14\n");
    expect(listing.stdout).toContain("r2 = func pc+6 <step> ll\n");
    const again = bmc(["asm", "-", "--hex"], listing.stdout);
    expect(again.stderr).toBe("");
    const bare = bmc(["disasm", "-"], again.stdout);
    expect(bare.stdout).toContain("r2 = func pc+6 ll\n");
  });

  it("reads binary and base16 bytecode alike", () => {
    const text = "    0: b7 00 00 00 2a 00 00 00  r0 = 42\n    1: 95 00 00 00 00 00 00 00  exit\n";
    const bytes = Buffer.from("b70000002a0000009500000000000000", "hex");
    expect(bmc(["disasm", "-"], bytes).stdout).toContain(text);
    expect(bmc(["disasm", "-"], `${bytes.toString("hex")}\n`).stdout).toContain(text);
  });

  it("prints every program, and which are left out", () => {
    const { stdout } = bmc(["disasm", `${FIXTURES}sections.bpf.o`]);
    expect(stdout.match(/^\.program .*$/gm)).toHaveLength(15);
    expect(stdout).toContain(
      "; program probe is left out: its section 'kprobe/nothing' names no program type known here; say it with --type\n",
    );
  });

  it("gives the same facts as JSON", () => {
    const { stdout } = bmc(["disasm", `${FIXTURES}maps.bpf.o`, "--json", "--program", "first"]);
    const { programs } = JSON.parse(stdout);
    expect(programs).toHaveLength(1);
    expect(programs[0]).toMatchObject({ name: "first", type: "xdp", license: "GPL" });
    expect(programs[0].maps[2]).toMatchObject({
      name: "jumps",
      initialPrograms: [null, "first", null, "second"],
    });
    expect(programs[0].instructions[2]).toMatchObject({
      slot: 2,
      bytes: "63 7a f8 ff 00 00 00 00",
      text: "*(u32 *)(r10 - 8) = r7",
      line: 67,
      source: "__u32 index = 0;",
    });
  });

  test.each<[title: string, args: string[], input: Uint8Array, message: string]>([
    [
      "an unknown program",
      [`${FIXTURES}core.bpf.o`, "--program", "x"],
      new Uint8Array(),
      "bmc: --program x: there is no such program; there are relocated, plain\n",
    ],
    [
      "a program that cannot be had",
      [`${FIXTURES}sections.bpf.o`, "--program", "custom"],
      new Uint8Array(),
      "bmc: program 'custom' cannot be loaded: its section 'my_section' names no program type known here; say it with --type\n",
    ],
    [
      "another machine's object",
      [`${FIXTURES}big-endian.bpf.o`],
      new Uint8Array(),
      `bmc: ${FIXTURES}big-endian.bpf.o: a big-endian ELF file; build it with 'clang -target bpfel' for this machine\n`,
    ],
    ["nothing", ["-"], new Uint8Array(), "bmc: stdin: the file is empty\n"],
    [
      "any text",
      ["-"],
      new TextEncoder().encode("int main;"),
      "bmc: stdin: neither an ELF object nor bytecode (allowed: what clang -target bpf -c makes, bytecode, assembly named FILE.s)\n",
    ],
    [
      "half an instruction",
      ["-"],
      Uint8Array.of(0x95, 0, 0),
      "bmc: -: program 'main', insn 0: program is 3 bytes long, not a multiple of 8\n",
    ],
    [
      "an opcode nobody has",
      ["-"],
      Uint8Array.of(0xff, 0, 0, 0, 0, 0, 0, 0),
      "bmc: -: program 'main', insn 0: unknown opcode ff\n",
    ],
    [
      "a wrong type",
      ["-", "--type", "kprobe"],
      new Uint8Array(),
      "bmc: --type kprobe: it must be xdp, tc, sk_skb, socket_filter\n",
    ],
  ])("refuses %s in one line, exit 2", (_, args, input, message) => {
    expect(bmc(["disasm", ...args], input)).toEqual({ status: 2, stdout: "", stderr: message });
  });
});
