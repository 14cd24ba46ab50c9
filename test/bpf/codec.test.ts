import { describe, expect, it } from "vitest";
import { conformanceGroup, decode, encode } from "../../src/bpf/codec.ts";

/** A slot with this opcode whose other fields suit it, so that only the opcode decides. */
function slotFor(opcode: number): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes[0] = opcode;
  const isSwap = (opcode & 0xf0) === 0xd0 && ((opcode & 7) === 4 || (opcode & 7) === 7);
  if (isSwap) bytes[4] = 16;
  return opcode === 0x18 ? bytes : bytes.slice(0, 8);
}

describe("decode", () => {
  it("accepts exactly the opcodes that have a conformance group", () => {
    for (let opcode = 0; opcode < 256; opcode++) {
      const result = decode(slotFor(opcode));
      if (conformanceGroup(opcode) === null) {
        const hex = opcode.toString(16).padStart(2, "0");
        expect(result).toEqual({ ok: false, error: { insn: 0, message: `unknown opcode ${hex}` } });
      } else {
        expect(result.ok, `opcode 0x${opcode.toString(16)}`).toBe(true);
      }
    }
  });

  it("counts the opcodes of each conformance group", () => {
    const groups = new Map<string, number>();
    for (let opcode = 0; opcode < 256; opcode++) {
      const group = conformanceGroup(opcode);
      if (group) groups.set(group, (groups.get(group) ?? 0) + 1);
    }
    expect(Object.fromEntries(groups)).toMatchInlineSnapshot(`
      {
        "atomic32": 1,
        "atomic64": 1,
        "base32": 56,
        "base64": 49,
        "callx": 1,
        "divmul32": 6,
        "divmul64": 6,
        "linux": 1,
        "packet": 6,
      }
    `);
  });

  it("round-trips every opcode to the same bytes", () => {
    for (let opcode = 0; opcode < 256; opcode++) {
      const result = decode(slotFor(opcode));
      if (result.ok) expect(encode(result.slots)).toEqual(slotFor(opcode));
    }
  });

  it("names the instruction of a half wide load", () => {
    expect(decode(slotFor(0x18).slice(0, 8))).toMatchObject({ ok: false, error: { insn: 0 } });
  });
});
