import { describe, expect, test } from "vitest";
import { verify } from "../../../src/bpf/verifier/verify.ts";
import { program } from "./program-text.ts";

describe("verify", () => {
  test("accepts a packet parser that checks before it reads", () => {
    const verdict = verify(
      program(`.type xdp
        r2 = *(u32 *)(r1 + 4)
        r1 = *(u32 *)(r1 + 0)
        r3 = r1
        r3 += 14
        if r3 > r2 goto out
        r0 = *(u16 *)(r1 + 12)
      out:
        r0 = 2
        exit`),
    );
    expect(verdict).toMatchObject({ accepted: true, rule: null });
  });

  test("refuses one that reads a byte more than it proved, in the kernel's words", () => {
    const verdict = verify(
      program(`.type xdp
        r2 = *(u32 *)(r1 + 4)
        r1 = *(u32 *)(r1 + 0)
        r3 = r1
        r3 += 14
        if r3 > r2 goto out
        r0 = *(u16 *)(r1 + 13)
      out:
        r0 = 2
        exit`),
    );
    expect(verdict).toMatchObject({ accepted: false, rule: "packet-bounds", insn: 5 });
    expect(verdict.message).toContain("invalid access to packet, off=13 size=2, R1(id=0,off=13,r=14)");
  });
});
