/** Links between scalars, and what is learned of them. Recorded from Linux 6.18 as in cases.ts. */
import { type Case, no, ok } from "./case.ts";

/** r9: a 48-byte value; r6: a number nobody knows, below 256. */
const START = `.type xdp
.map m hash key=8 value=48 entries=4
*(u64 *)(r10 - 8) = 0
r2 = r10
r2 += -8
r1 = m ll
call bpf_map_lookup_elem
if r0 == 0 goto out
r9 = r0
r6 = *(u8 *)(r9 + 0)`;
const scalars = (body: string) => `${START}\n${body}\nr9 += r6\nr0 = *(u8 *)(r9 + 0)\nout: r0 = 0\nexit`;
const outside = "value is outside of the allowed memory range";

export const SCALAR_CASES: readonly Case[] = [
  ok("a copy minus 5 bounds the original", scalars("r7 = r6\nr7 -= 5\nif r7 > 42 goto out")),
  ok("a 32-bit sum bounds what fits in 32 bits", scalars("r7 = r6\nw7 += 5\nif r7 > 52 goto out")),
  no("a 32-bit sum, one too far", outside, scalars("r7 = r6\nw7 += 5\nif r7 > 53 goto out")),
  ok("a sum with a register that is known", scalars("r7 = r6\nr1 = 5\nr7 += r1\nif r7 > 52 goto out")),
  no("two sums in a row keep no link", outside, scalars("r7 = r6\nr7 += 5\nr7 += 4\nif r7 > 50 goto out")),
  no(
    "a 32-bit sum does not bound a 64-bit one",
    outside,
    scalars("r7 = r6\nr8 = r6\nr8 += 4\nw7 += 5\nr6 = r8\nif r7 > 40 goto out"),
  ),
  no(
    "the eighth copy learns nothing",
    outside,
    scalars(
      "r0 = r6\nr1 = r6\nr2 = r6\nr3 = r6\nr4 = r6\nr5 = r6\nr7 = r6\nif r7 > 40 goto out\nr8 = r0\nr8 = r1\nr8 = r2\nr8 = r3\nr8 = r4\nr8 = r5",
    ),
  ),
  ok("known bits and range leave one number", scalars("r6 &= 32\nr6 |= 15\nif r6 > 46 goto out\nr6 += 32")),
  no("the one number is too large", outside, scalars("r6 &= 32\nr6 |= 15\nif r6 < 16 goto out\nr6 += 1")),
  no("JSET forgets the range it had", outside, scalars("if r6 > 40 goto out\nif r6 & 1 goto out")),
  ok("a pointer extended by its sign is a number", scalars("r7 = r9\nr7 = (s8)r7\nr6 = 3")),
  no(
    "a pointer extended by its sign is no pointer",
    "R9 invalid mem access 'scalar'",
    scalars("r6 = 0\nr9 = (s32)r9"),
  ),
  no(
    "a pointer in little-endian order is no pointer",
    "R9 invalid mem access 'scalar'",
    scalars("r6 = 0\nr9 = le64 r9"),
  ),
];
