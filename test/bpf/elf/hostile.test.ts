/** Files built to be expensive rather than broken: each field is in bounds, the whole is not meant. */
import { describe, expect, it } from "vitest";
import { parseObject } from "../../../src/bpf/elf/object.ts";
import { buildElf, type SectionSpec, symbolTable } from "./build-elf.ts";

const EXIT = Uint8Array.of(0x95, 0, 0, 0, 0, 0, 0, 0);
const code = (name: string, data: Uint8Array): SectionSpec => ({ name, type: 1, flags: 6, data });

function refusal(bytes: Uint8Array): string {
  const result = parseObject(bytes);
  return result.ok ? "loaded" : result.error.message;
}

function btf(types: number[][], strings = "\0"): Uint8Array {
  const words = types.flat();
  const text = new TextEncoder().encode(strings);
  const bytes = new Uint8Array(24 + words.length * 4 + text.length);
  const view = new DataView(bytes.buffer);
  [0x0001eb9f, 24, 0, words.length * 4, words.length * 4, text.length].forEach((word, index) => {
    view.setUint32(index * 4, word, true);
  });
  words.forEach((word, index) => {
    view.setUint32(24 + index * 4, word, true);
  });
  bytes.set(text, 24 + words.length * 4);
  return bytes;
}

describe("parseObject of a built file", () => {
  it("loads the smallest object there is", () => {
    const bytes = buildElf([code("xdp", EXIT)], symbolTable([{ name: "f", section: 1, value: 0, size: 8 }]));
    expect(refusal(bytes)).toBe("loaded");
  });

  it("lets functions without a size reach to the next, and drops aliases", () => {
    const result = parseObject(
      buildElf(
        [code("xdp", Uint8Array.from([...EXIT, ...EXIT, ...EXIT]))],
        symbolTable([
          { name: "f", section: 1, value: 0, size: 0 },
          { name: "g", section: 1, value: 8, size: 0 },
          { name: "g_again", section: 1, value: 8, size: 0 },
        ]),
      ),
    );
    const programs = result.ok ? result.object.programs : [];
    expect(programs.map(({ name, bytecode }) => [name, bytecode.length])).toEqual([
      ["f", 8],
      ["g", 16],
    ]);
  });

  it("stops when thousands of programs each append one huge subprogram", () => {
    const count = 20_000;
    // Each program is `call pc+…; exit` with a call into .text.
    const text = new Uint8Array(400_000);
    for (let at = 0; at < text.length; at += 8) text.set(EXIT, at);
    const programs = new Uint8Array(count * 8);
    const relocations = new Uint8Array(count * 16);
    const view = new DataView(relocations.buffer);
    for (let index = 0; index < count; index++) {
      programs.set([0x85, 0x10, 0, 0, 0xff, 0xff, 0xff, 0xff], index * 8);
      view.setBigUint64(index * 16, BigInt(index * 8), true);
      view.setUint32(index * 16 + 8, 10, true);
      view.setUint32(index * 16 + 12, 1, true);
    }
    const symbols = [
      { name: "big", section: 2, value: 0, size: text.length },
      ...Array.from({ length: count }, (_, index) => ({
        name: "p",
        section: 1,
        value: index * 8,
        size: 8,
      })),
    ];
    const bytes = buildElf(
      [
        code("xdp", programs),
        code(".text", text),
        { name: ".relxdp", type: 9, flags: 0, data: relocations, info: 1 },
      ],
      symbolTable(symbols),
    );
    expect(refusal(bytes)).toBe("the file makes more of its functions than a real object would");
  });

  it("follows a call chain deeper than any stack", () => {
    const count = 100_000;
    const text = new Uint8Array(count * 8);
    const view = new DataView(text.buffer);
    // Function n calls function n + 1, whose distance the compiler fills in: 0.
    for (let index = 0; index < count - 1; index++) view.setUint32(index * 8, 0x1085, true);
    text.set(EXIT, (count - 1) * 8);
    const symbols = Array.from({ length: count }, (_, index) => ({
      name: "f",
      section: 1,
      value: index * 8,
      size: 8,
      isLocal: index > 0,
    }));
    expect(refusal(buildElf([code("xdp", text)], symbolTable(symbols)))).toBe("loaded");
  });

  it("names the end of a cyclic type", () => {
    // typedef 1 -> typedef 2 -> typedef 1; var 3 of type 1; datasec .maps of var 3
    const strings = "\0m\0.maps\0";
    const types = [
      [1, 8 << 24, 2],
      [1, 8 << 24, 1],
      [1, 14 << 24, 1, 1],
      [3, (15 << 24) | 1, 32, 3, 0, 32],
    ];
    const bytes = buildElf(
      [
        code("xdp", EXIT),
        { name: ".maps", type: 1, flags: 3, data: new Uint8Array(32) },
        { name: ".BTF", type: 1, flags: 0, data: btf(types, strings) },
      ],
      symbolTable([
        { name: "f", section: 1, value: 0, size: 8 },
        { name: "m", section: 2, value: 0, size: 32, type: 1 },
      ]),
    );
    expect(refusal(bytes)).toBe("BTF type 1 is a cycle of typedefs and qualifiers");
  });

  it("does not allocate what a .bss claims", () => {
    const claim = { name: ".bss", type: 8, flags: 3, data: new Uint8Array(0), size: 2 ** 50 };
    const load = [0x18, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const relocation = new Uint8Array(16);
    new DataView(relocation.buffer).setUint32(8, 1, true);
    new DataView(relocation.buffer).setUint32(12, 2, true);
    const bytes = buildElf(
      [
        code("xdp", Uint8Array.from([...load, ...EXIT])),
        claim,
        { name: ".relxdp", type: 9, flags: 0, data: relocation, info: 1 },
      ],
      symbolTable([
        { name: "f", section: 1, value: 0, size: 24 },
        { name: "g", section: 2, value: 0, size: 4, type: 1 },
      ]),
    );
    expect(refusal(bytes)).toBe(
      "program 'f' cannot be loaded: map '.bss' has keys of 4 and values of 1125899906842624 bytes",
    );
  });

  it("refuses strings told a thousand times over", () => {
    // 60,000 symbols, each named by another suffix of one long string.
    const names = new TextEncoder().encode(`\0${"x".repeat(60_000)}\0`);
    const symbols = Array.from({ length: 60_000 }, (_, index) => ({
      nameOffset: index + 1,
      name: "",
      section: 1,
      value: 0,
      size: 8,
    }));
    expect(refusal(buildElf([code("xdp", EXIT)], symbolTable(symbols, names)))).toBe(
      "the file makes more of its strings than a real object would",
    );
  });
});
