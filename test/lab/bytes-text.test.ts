import { describe, expect, it } from "vitest";
import { hexRows, MAX_PACKET_BYTES, parseHex, parseText } from "../../src/lab/verifier/bytes-text.ts";

describe("parseHex", () => {
  it("reads hex with any spacing", () => {
    expect(parseHex("47 45\n54 2 0")).toEqual({ ok: true, bytes: Uint8Array.from([0x47, 0x45, 0x54, 0x20]) });
  });

  it.each([
    ["4g", "line 1, column 2: 'g' is not a hex digit"],
    ["00\n 0x", "line 2, column 3: 'x' is not a hex digit"],
    ["123", "half a byte at the end: a hex digit is missing"],
    [
      "00".repeat(MAX_PACKET_BYTES + 1),
      `${MAX_PACKET_BYTES + 1} bytes, but a packet here has at most ${MAX_PACKET_BYTES}`,
    ],
  ])("says what is wrong with %j", (text, message) => {
    expect(parseHex(text)).toEqual({ ok: false, message });
  });
});

describe("parseText", () => {
  it("ends lines as HTTP does", () => {
    expect(parseText("a\nb")).toEqual({ ok: true, bytes: Uint8Array.from([0x61, 13, 10, 0x62]) });
  });

  it("refuses what is not one byte", () => {
    expect(parseText("é€")).toEqual({ ok: false, message: "'€' does not fit into one byte" });
  });
});

describe("hexRows", () => {
  it("shows 16 bytes a row, beside what of it is printable", () => {
    const rows = hexRows(Uint8Array.from({ length: 18 }, (_, i) => 0x3e + i));
    expect(rows.map((row) => row.offset)).toEqual(["0000", "0010"]);
    expect(rows[1]).toEqual({ offset: "0010", hex: "4e 4f", ascii: "NO" });
  });
});
