import { readFileSync } from "node:fs";
import { describe, expect, it, test } from "vitest";
import { decode } from "../../../src/bpf/codec.ts";
import { disassemble } from "../../../src/bpf/disassembler.ts";
import { type ParseObjectOptions, parseObject } from "../../../src/bpf/elf/object.ts";
import type { Program, ProgramObject } from "../../../src/bpf/program.ts";

function bytesOf(fixture: string): Uint8Array {
  return readFileSync(new URL(`../../fixtures/bpf/${fixture}.bpf.o`, import.meta.url));
}

function object(fixture: string, options?: ParseObjectOptions): ProgramObject {
  const result = parseObject(bytesOf(fixture), options);
  if (!result.ok) throw new Error(result.error.message);
  return result.object;
}

function program(of: ProgramObject, name: string): Program {
  const found = of.programs.find((candidate) => candidate.name === name);
  if (!found) throw new Error(`no program ${name}`);
  return found;
}

function listing(of: Program): string[] {
  const decoded = decode(of.bytecode);
  if (!decoded.ok) throw new Error(decoded.error.message);
  return disassemble(decoded.slots, { mapName: (index) => of.maps[index]?.name }).map((line) => line.text);
}

function refusal(bytes: Uint8Array, options?: ParseObjectOptions): string {
  const result = parseObject(bytes, options);
  if (result.ok) throw new Error("was loaded");
  return result.error.message;
}

describe("parseObject: maps", () => {
  const maps = object("maps");

  it("reads BTF definitions with types, sizes, flags and the lock's place", () => {
    expect(maps.maps.filter((map) => !map.name.startsWith("."))).toEqual([
      {
        name: "jumps",
        type: "prog_array",
        keyBytes: 4,
        valueBytes: 4,
        maxEntries: 4,
        flags: 0,
        initialPrograms: [null, "first", null, "second"],
      },
      {
        name: "cache",
        type: "array",
        keyBytes: 4,
        valueBytes: 32,
        maxEntries: 128,
        flags: 0,
        spinLockOffset: 4,
      },
      { name: "by_mac", type: "hash", keyBytes: 6, valueBytes: 8, maxEntries: 1000, flags: 1 },
      { name: "recent", type: "lru_hash", keyBytes: 12, valueBytes: 24, maxEntries: 32, flags: 0 },
      { name: "counters", type: "percpu_array", keyBytes: 4, valueBytes: 8, maxEntries: 8, flags: 0 },
    ]);
  });

  it("gives programs of one object the same map", () => {
    const [first, second] = [program(maps, "first"), program(maps, "second")];
    expect(first.maps.map((map) => map.name)).toEqual(["counters", "cache", "jumps"]);
    expect(second.maps.map((map) => map.name)).toEqual(["counters", "by_mac", "recent"]);
    expect(second.maps[0]).toBe(first.maps[0]);
    expect(maps.maps).toContain(first.maps[0]);
    expect(listing(first)).toContain("r1 = map[cache] ll");
  });

  it("keeps the license", () => {
    expect(maps.license).toBe("GPL");
    expect(program(object("calls"), "loops").license).toBe("Dual BSD/GPL");
  });

  it("needs BTF for .maps, and says how to get it", () => {
    expect(refusal(bytesOf("maps-no-btf"))).toBe(
      "section .maps needs type information: build with 'clang -g'",
    );
  });

  test.each(["legacy", "legacy-large"])("reads the legacy section of %s when a type is given", (fixture) => {
    const legacy = object(fixture, { type: "xdp" });
    expect(legacy.maps).toEqual([
      {
        name: "entries",
        type: "array",
        keyBytes: 4,
        valueBytes: 60,
        maxEntries: 1000,
        flags: 0,
        spinLockOffset: 0,
      },
      { name: "programs", type: "prog_array", keyBytes: 4, valueBytes: 4, maxEntries: 3, flags: 0 },
    ]);
    expect(legacy.programs.map(({ name, section, type }) => [name, section, type])).toEqual([
      ["rx_filter", "my_rx_filter", "xdp"],
      ["hash_keys", "my_hash_keys", "xdp"],
    ]);
    expect(listing(program(legacy, "rx_filter"))).toContain("r2 = map[programs] ll");
  });

  it("asks for --type where no section name says it", () => {
    expect(refusal(bytesOf("legacy"))).toBe(
      "program 'rx_filter' cannot be loaded: its section 'my_rx_filter' names no program type known here; say it with --type (and 1 more)",
    );
  });
});

describe("parseObject: data sections", () => {
  const data = object("data");
  const map = (name: string) => data.maps.find((candidate) => candidate.name === name);

  it("makes arrays of one value from .rodata, .data, .bss and their kin", () => {
    expect(map(".rodata")).toMatchObject({
      valueBytes: 4,
      readOnlyForPrograms: true,
      initialValue: Uint8Array.of(100, 0, 0, 0),
    });
    expect(map(".data")).toMatchObject({
      initialValue: Uint8Array.of(0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11),
    });
    expect(map(".data.table")).toMatchObject({ initialValue: Uint8Array.of(1, 0, 2, 0, 3, 0, 4, 0) });
    expect(map(".bss")).toMatchObject({ type: "array", keyBytes: 4, valueBytes: 8, maxEntries: 1 });
    expect(map(".bss")).not.toHaveProperty("initialValue");
    expect(map(".data")).not.toHaveProperty("readOnlyForPrograms");
  });

  it("points loads at the variable within its section", () => {
    const text = listing(program(data, "counts")).filter((line) => line.includes("map["));
    expect(text).toEqual([
      "r3 = map[.rodata][0]+0 ll",
      "r2 = map[.bss][0]+0 ll",
      "r2 = map[.data.table][0]+0 ll",
      "r2 = map[.bss][0]+4 ll",
      "r1 = map[.data][0]+0 ll",
    ]);
  });
});

describe("parseObject: functions", () => {
  const calls = object("calls");

  it("appends what a program reaches, each function once, callees in the order they are met", () => {
    expect(program(calls, "nested").subprograms).toEqual([
      { name: "middle", start: 16, isGlobal: false, args: [{ kind: "scalar", bytes: 4 }] },
      { name: "leaf", start: 24, isGlobal: false, args: [{ kind: "scalar", bytes: 4 }] },
      {
        name: "global_sum",
        start: 28,
        isGlobal: true,
        args: [
          { kind: "ctx" },
          { kind: "pointer", pointeeBytes: 8, typeName: "pair" },
          { kind: "scalar", bytes: 2 },
        ],
      },
    ]);
  });

  it("resolves a callback to a function load", () => {
    const loops = program(calls, "loops");
    expect(loops.subprograms.map(({ name, start }) => [name, start])).toEqual([
      ["step", 12],
      ["leaf", 21],
    ]);
    expect(listing(loops)[5]).toBe("r2 = func pc+6 ll");
    expect(listing(loops)).toContain("call pc+7");
  });

  it("links without BTF too, all subprograms static then", () => {
    const bare = program(object("calls-no-btf"), "nested");
    expect(listing(bare)).toEqual(listing(program(calls, "nested")));
    expect(bare.subprograms.every((sub) => !sub.isGlobal)).toBe(true);
    expect(bare.lines).toEqual([]);
  });

  it("carries C lines along, moved with their function", () => {
    const nested = program(calls, "nested");
    const inLeaf = nested.lines.filter((line) => line.insn >= 24 && line.insn < 28);
    expect(inLeaf.map(({ insn, text }) => [insn, text])).toEqual([
      [24, "static noinline int leaf(int x)"],
      [25, "return x * 3 + 1;"],
      [26, "return x * 3 + 1;"],
      [27, "return x * 3 + 1;"],
    ]);
    expect(inLeaf[0]).toMatchObject({ file: expect.stringMatching(/calls\.bpf\.c$/), line: 12 });
    expect(nested.lines[0]).toMatchObject({ insn: 0 });
  });

  it("takes types from section names as libbpf does, and says what it left out", () => {
    const sections = object("sections");
    expect(sections.programs.map(({ section, type, attach }) => [section, type, attach])).toEqual([
      ["xdp", "xdp", undefined],
      ["xdp.frags", "xdp", undefined],
      ["xdp/named", "xdp", undefined],
      ["tc", "tc", undefined],
      ["tc/ingress", "tc", undefined],
      ["tcx/egress", "tc", undefined],
      ["classifier", "tc", undefined],
      ["classifier/x", "tc", undefined],
      ["action", "tc", undefined],
      ["sk_skb", "sk_skb", undefined],
      ["sk_skb/stream_parser", "sk_skb", "stream_parser"],
      ["sk_skb/stream_verdict", "sk_skb", "stream_verdict"],
      ["sk_skb/verdict", "sk_skb", "stream_verdict"],
      ["socket", "socket_filter", undefined],
      ["socket1", "socket_filter", undefined],
    ]);
    expect(sections.skipped?.map(({ name }) => name)).toEqual(["probe", "custom"]);
    const given = object("sections", { type: "sk_skb", attach: "stream_parser" });
    expect(program(given, "custom")).toMatchObject({ type: "sk_skb", attach: "stream_parser" });
    expect(program(given, "sk_skb_plain")).toMatchObject({ type: "sk_skb", attach: "stream_parser" });
    expect(program(given, "verdict")).toMatchObject({ type: "sk_skb", attach: "stream_verdict" });
  });

  it("warns of CO-RE relocations, for the program that has them", () => {
    const core = object("core");
    expect(program(core, "relocated").warnings).toEqual([
      "program 'relocated' has 1 CO-RE relocation, and none is applied: it sees kernel structs as they were when it was compiled",
    ]);
    expect(program(core, "plain").warnings).toBeUndefined();
  });
});

describe("parseObject: what is unusual", () => {
  const odd = object("odd");

  it("keeps a program whose map only verify knows", () => {
    const { maps } = program(odd, "uses_ringbuf");
    expect(maps.map(({ name, type }) => [name, type])).toEqual([["events", "ringbuf"]]);
  });

  it("knows of a map of maps what those inside are like", () => {
    const nested = object("nested");
    expect(program(nested, "per_tenant").maps).toEqual([
      {
        name: "tenants",
        type: "array_of_maps",
        keyBytes: 4,
        valueBytes: 4,
        maxEntries: 4,
        flags: 0,
        inner: {
          name: "",
          type: "hash",
          keyBytes: 4,
          valueBytes: 16,
          maxEntries: 16,
          flags: 0,
          spinLockOffset: 8,
        },
      },
    ]);
    expect(program(nested, "counted").maps).toMatchObject([
      { name: "counters", type: "hash_of_maps", keyBytes: 8, valueBytes: 4, inner: { type: "array" } },
    ]);
  });

  it("leaves out programs whose map of maps libbpf would not make", () => {
    expect(object("nested-refused").skipped?.map(({ name, reason }) => [name, reason])).toEqual([
      [
        "without_pattern",
        "map 'bare' (array_of_maps) does not say what its maps are like: __array(values, struct …)",
      ],
      ["two_levels", "map 'deep.inner' holds maps itself: maps of maps go one level deep"],
      ["unknown_pattern", expect.stringContaining("map 'strange.inner' has type 24; known are hash, array")],
    ]);
  });

  it("leaves out the programs it cannot have, each with its reason", () => {
    expect(odd.skipped).toEqual([
      {
        name: "calls_extern",
        section: "tc",
        reason:
          "it calls the kernel function 'absent_function', which is not known here; known: bpf_iter_num_new, bpf_iter_num_next, bpf_iter_num_destroy",
      },
      {
        name: "uses_extern",
        section: "tc",
        reason: "it uses 'absent_symbol', which the object does not define",
      },
    ]);
    expect(odd.programs.map(({ name }) => name)).toEqual([
      "uses_functions",
      "uses_ringbuf",
      "uses_weak",
      "uses_lock",
    ]);
  });

  it("takes hidden and static functions for static subprograms, wherever they lie", () => {
    expect(
      program(odd, "uses_functions").subprograms.map(({ name, start, isGlobal }) => [name, start, isGlobal]),
    ).toEqual([
      ["hidden_function", 13, false],
      ["global_function", 17, true],
      ["static_in_section", 21, false],
    ]);
  });

  it("gives an absent weak symbol the address 0", () => {
    expect(listing(program(odd, "uses_weak"))).toContain("r1 = 0x0 ll");
  });

  it("finds the lock among global variables", () => {
    expect(program(odd, "uses_lock").maps).toEqual([
      {
        name: ".bss",
        type: "array",
        keyBytes: 4,
        valueBytes: 8,
        maxEntries: 1,
        flags: 0,
        spinLockOffset: 0,
      },
    ]);
  });

  it("takes the one function of .text for a program when its type is given", () => {
    expect(refusal(bytesOf("lone"))).toContain("say it with --type");
    expect(object("lone", { type: "tc" }).programs).toMatchObject([
      { name: "lone", section: ".text", type: "tc" },
    ]);
  });
});

describe("parseObject: refusals", () => {
  const patched = (change: (bytes: Uint8Array) => void) => {
    const bytes = Uint8Array.from(bytesOf("calls"));
    change(bytes);
    return bytes;
  };

  test.each<[string, Uint8Array, string]>([
    ["an empty file", new Uint8Array(0), "not an ELF file (it does not begin with 7f 'ELF')"],
    [
      "a text",
      new TextEncoder().encode("r0 = 0\nexit\n"),
      "not an ELF file (it does not begin with 7f 'ELF')",
    ],
    [
      "a header cut short",
      bytesOf("calls").subarray(0, 40),
      "the file is cut short: 40 bytes, an ELF header alone has 64",
    ],
    ["a 32-bit file", patched((b) => b.fill(1, 4, 5)), "a 32-bit ELF file; eBPF objects are 64-bit"],
    [
      "a big-endian file",
      bytesOf("big-endian"),
      "a big-endian ELF file; build it with 'clang -target bpfel' for this machine",
    ],
    [
      "another machine",
      patched((b) => b.fill(62, 18, 19)),
      "an ELF file for machine 62, not eBPF (247); build it with 'clang -target bpf'",
    ],
    ["an executable", patched((b) => b.fill(2, 16, 17)), "ELF type 2, not a relocatable object (1)"],
    ["no sections", patched((b) => b.fill(0, 60, 62)), "the file has no sections"],
  ])("%s", (_, bytes, message) => {
    expect(refusal(bytes)).toBe(message);
  });

  it("half a file", () => {
    expect(refusal(bytesOf("calls").subarray(0, 2000))).toMatch(
      /^the section header table should be \d+ bytes at \d+, but the file has 2000 bytes$/,
    );
  });
});
