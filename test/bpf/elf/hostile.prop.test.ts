/**
 * Objects nobody vouches for: real ones with bytes flipped, fields overwritten, cut short. The loader
 * answers with an object or one sentence; what takes minutes meets the test's own time limit. BMC_FUZZ_RUNS makes it longer.
 */
import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseObject } from "../../../src/bpf/elf/object.ts";

const FOLDER = new URL("../../fixtures/bpf/", import.meta.url);
const OBJECTS = new Map(
  readdirSync(FOLDER)
    .filter((name) => name.endsWith(".o"))
    .map((name): [string, Uint8Array] => [name, Uint8Array.from(readFileSync(new URL(name, FOLDER)))]),
);
const RUNS = Number(process.env.BMC_FUZZ_RUNS ?? 1500);

function bytesOf(name: string): Uint8Array {
  return Uint8Array.from(OBJECTS.get(name) ?? []);
}

/** Every outcome is a value, and fit for one line. A run of minutes ends the test. */
function judge(bytes: Uint8Array): void {
  const result = parseObject(bytes, { type: "xdp" });
  if (result.ok) {
    for (const program of result.object.programs) {
      expect(program.bytecode.length % 8).toBe(0);
      expect(program.bytecode.length).toBeGreaterThan(0);
      const slots = program.bytecode.length / 8;
      for (const { start } of program.subprograms) expect(start).toBeLessThan(slots);
      for (const { insn } of program.lines) expect(insn).toBeLessThan(slots);
    }
  } else expect(result.error.message).toMatch(/^[^\n]+$/);
}

// Drawn by name, so that a failure prints a name and not ten thousand bytes.
const object = fc.constantFrom(...OBJECTS.keys());
const interesting = fc.constantFrom(0, 1, 7, 8, 0x7f, 0x80, 0xff);
const words = fc.constantFrom(0, 1, 7, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff);
/** Where most of an object's structure is told: header, section headers, BTF. */
const place = fc.oneof(
  fc.double({ min: 0, max: 1, noNaN: true }),
  fc.double({ min: 0, max: 0.02, noNaN: true }),
);

describe("parseObject of a hostile file", () => {
  it("survives flipped bytes", () => {
    const flips = fc.array(fc.tuple(place, fc.oneof(interesting, fc.integer({ min: 0, max: 255 }))), {
      minLength: 1,
      maxLength: 8,
    });
    fc.assert(
      fc.property(object, flips, (name, changes) => {
        const copy = bytesOf(name);
        for (const [at, value] of changes) copy[Math.floor(at * (copy.length - 1))] = value;
        judge(copy);
      }),
      { numRuns: RUNS },
    );
  });

  it("survives every 32-bit field of the headers lying", () => {
    fc.assert(
      fc.property(object, fc.nat(), words, (name, pick, word) => {
        const copy = bytesOf(name);
        const view = new DataView(copy.buffer);
        const table = Number(view.getBigUint64(40, true));
        if (table >= copy.length) return; // the big-endian one, refused before its table is looked at
        const fields = (copy.length - table) / 4;
        view.setUint32(table + 4 * (pick % fields), word, true);
        judge(copy);
      }),
      { numRuns: RUNS },
    );
  });

  it("survives lies in BTF and BTF.ext", () => {
    fc.assert(
      fc.property(object, fc.nat(), words, (name, pick, word) => {
        const copy = bytesOf(name);
        const view = new DataView(copy.buffer);
        let start = -1;
        for (let at = 0; at < copy.length - 4; at += 4) {
          if (view.getUint32(at, true) === 0x0001eb9f) {
            start = at;
            if (pick % 2) break;
          }
        }
        if (start < 0) return;
        const fields = Math.min(400, Math.floor((copy.length - start) / 4));
        view.setUint32(start + 4 * (pick % fields), word, true);
        judge(copy);
      }),
      { numRuns: RUNS },
    );
  });

  it("refuses or loads every truncation", () => {
    for (const bytes of OBJECTS.values()) {
      for (let length = 0; length < bytes.length; length += length < 80 ? 1 : 97) {
        judge(bytes.subarray(0, length));
      }
    }
  });
});
