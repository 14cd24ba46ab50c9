/** Map values: offsets and their bounds, and what each type of map allows. As in cases.ts recorded from Linux 6.18. */
import { type Case, HASH, LOOKUP, no, ok, out, plain, value } from "./case.ts";

/** The program may write values of this map (BPF_F_WRONLY_PROG), not read them. */
const writeOnly = (body: string, type = "xdp") => value(body, type).replace(HASH, `${HASH} flags=0x100`);

export const MAP_VALUE_CASES: readonly Case[] = [
  // Map values
  ok("value read", value("r0 = *(u64 *)(r0 + 40)")),
  no(
    "no null check",
    "R0 invalid mem access 'map_value_or_null'",
    `.type xdp\n${HASH}\n${LOOKUP}\nr0 = *(u64 *)(r0 + 0)\nexit`,
  ),
  no(
    "null check the wrong way",
    "R0 invalid mem access 'scalar'",
    `.type xdp\n${HASH}\n${LOOKUP}\nif r0 != 0 goto out\nr0 = *(u64 *)(r0 + 0)\n${out}`,
  ),
  ok(
    "null check through a copy",
    `.type xdp\n${HASH}\n${LOOKUP}\nr6 = r0\nif r6 == 0 goto out\nr0 = *(u64 *)(r0 + 0)\n${out}`,
  ),
  ok(
    "null check through the stack",
    `.type xdp\n${HASH}\n${LOOKUP}\n*(u64 *)(r10 - 16) = r0\nif r0 == 0 goto out\nr1 = *(u64 *)(r10 - 16)\nr0 = *(u64 *)(r1 + 0)\n${out}`,
  ),
  no(
    "two look-ups are two pointers",
    "R6 invalid mem access 'map_value_or_null'",
    `.type xdp\n${HASH}\n${LOOKUP}\nr6 = r0\n${LOOKUP}\nif r0 == 0 goto out\nr0 = *(u64 *)(r6 + 0)\n${out}`,
  ),
  no(
    "32-bit null check",
    "R0 invalid mem access 'map_value_or_null'",
    `.type xdp\n${HASH}\n${LOOKUP}\nif w0 == 0 goto out\nr0 = *(u64 *)(r0 + 0)\n${out}`,
  ),
  no(
    "arithmetic before the null check",
    "pointer arithmetic on map_value_or_null prohibited, null-check it first",
    `.type xdp\n${HASH}\n${LOOKUP}\nr0 += 8\nif r0 == 0 goto out\n${out}`,
  ),
  no(
    "value past the end",
    "invalid access to map value, value_size=48 off=41 size=8",
    value("r0 = *(u64 *)(r0 + 41)"),
  ),
  no(
    "value before the start",
    "R0 min value is outside of the allowed memory range",
    value("r0 = *(u64 *)(r0 - 8)"),
  ),
  ok("bounded index", value("r1 = *(u64 *)(r0 + 0)\nif r1 > 40 goto out\nr0 += r1\nr0 = *(u64 *)(r0 + 0)")),
  no(
    "index bounded one too high",
    "invalid access to map value, value_size=48 off=41 size=8",
    value("r1 = *(u64 *)(r0 + 0)\nif r1 > 41 goto out\nr0 += r1\nr0 = *(u64 *)(r0 + 0)"),
  ),
  ok("masked index", value("r1 = *(u64 *)(r0 + 0)\nr1 &= 31\nr0 += r1\nr0 = *(u64 *)(r0 + 0)")),
  no(
    "unbounded index",
    "unbounded memory access",
    value("r1 = *(u32 *)(r0 + 0)\nr0 += r1\nr0 = *(u8 *)(r0 + 0)"),
  ),
  no(
    "index with no minimum",
    "math between map_value pointer and register with unbounded min value is not allowed",
    value("r1 = *(u64 *)(r0 + 0)\nif r1 s> 40 goto out\nr0 += r1\nr0 = *(u8 *)(r0 + 0)"),
  ),
  ok(
    "signed bounds from both sides",
    value("r1 = *(u64 *)(r0 + 0)\nif r1 s> 40 goto out\nif r1 s< 0 goto out\nr0 += r1\nr0 = *(u8 *)(r0 + 0)"),
  ),
  no(
    "negative index",
    "R0 min value is negative",
    value(
      "r1 = *(u64 *)(r0 + 0)\nif r1 s> 40 goto out\nif r1 s< -5 goto out\nr0 += r1\nr0 = *(u8 *)(r0 + 0)",
    ),
  ),
  ok(
    "32-bit bound on a 32-bit load",
    value("r1 = *(u32 *)(r0 + 0)\nif w1 > 40 goto out\nr0 += r1\nr0 = *(u8 *)(r0 + 0)"),
  ),
  no(
    "32-bit bound on a 64-bit load",
    "",
    value("r1 = *(u64 *)(r0 + 0)\nif w1 > 40 goto out\nr0 += r1\nr0 = *(u8 *)(r0 + 0)"),
  ),
  ok(
    "32-bit move cuts the upper half",
    value("r1 = *(u64 *)(r0 + 0)\nw1 = w1\nif w1 > 40 goto out\nr0 += r1\nr0 = *(u8 *)(r0 + 0)"),
  ),
  ok(
    "bound learned of a copy",
    value("r1 = *(u64 *)(r0 + 0)\nr2 = r1\nif r2 > 40 goto out\nr0 += r1\nr0 = *(u8 *)(r0 + 0)"),
  ),
  ok(
    "bound learned of a copy on the stack",
    value(
      "r1 = *(u64 *)(r0 + 0)\n*(u64 *)(r10 - 16) = r1\nif r1 > 40 goto out\nr1 = *(u64 *)(r10 - 16)\nr0 += r1\nr0 = *(u8 *)(r0 + 0)",
    ),
  ),
  ok(
    "bound learned of a copy at a distance",
    value("r1 = *(u32 *)(r0 + 0)\nr2 = r1\nr2 += 8\nif r2 > 40 goto out\nr0 += r1\nr0 = *(u8 *)(r0 + 0)"),
  ),
  ok(
    "bound by a register",
    value(
      "r1 = *(u64 *)(r0 + 0)\nr2 = *(u64 *)(r0 + 8)\nif r2 > 40 goto out\nif r1 >= r2 goto out\nr0 += r1\nr0 = *(u8 *)(r0 + 0)",
    ),
  ),
  ok(
    "equal to a bounded register",
    value(
      "r1 = *(u64 *)(r0 + 0)\nr2 = *(u64 *)(r0 + 8)\nif r2 > 40 goto out\nif r1 != r2 goto out\nr0 += r1\nr0 = *(u8 *)(r0 + 0)",
    ),
  ),
  ok(
    "JSET leaves low bits",
    value("r1 = *(u64 *)(r0 + 0)\nif r1 & 0xffffffe0 goto out\nw1 = w1\nr0 += r1\nr0 = *(u8 *)(r0 + 0)"),
  ),
  no(
    "modulo bounds nothing in 6.18",
    "",
    value("r1 = *(u64 *)(r0 + 0)\nr1 %= 40\nr0 += r1\nr0 = *(u8 *)(r0 + 0)"),
  ),
  ok("right shift bounds", value("r1 = *(u64 *)(r0 + 0)\nr1 >>= 59\nr0 += r1\nr0 = *(u8 *)(r0 + 0)")),
  ok(
    "multiplication keeps bounds",
    value("r1 = *(u64 *)(r0 + 0)\nr1 &= 7\nr1 *= 6\nr0 += r1\nr0 = *(u8 *)(r0 + 0)"),
  ),
  no(
    "multiplication beyond",
    "invalid access to map value",
    value("r1 = *(u64 *)(r0 + 0)\nr1 &= 7\nr1 *= 7\nr0 += r1\nr0 = *(u8 *)(r0 + 0)"),
  ),
  ok(
    "sign extension of a small number",
    value("r1 = *(u64 *)(r0 + 0)\nr1 &= 31\nr1 = (s8)r1\nr0 += r1\nr0 = *(u8 *)(r0 + 0)"),
  ),
  no("sign extension may be negative", "", value("r1 = *(s8 *)(r0 + 0)\nr0 += r1\nr0 = *(u8 *)(r0 + 0)")),
  ok(
    "negated and bounded",
    value("r1 = *(u64 *)(r0 + 0)\nr1 &= 7\nr1 = -r1\nr1 += 8\nr0 += r1\nr0 = *(u8 *)(r0 + 0)"),
  ),
  ok(
    "arithmetic shift of a bounded number",
    value("r1 = *(u64 *)(r0 + 0)\nr1 &= 63\nr1 s>>= 1\nr0 += r1\nr0 = *(u8 *)(r0 + 0)"),
  ),
  ok(
    "or of bounded numbers",
    value("r1 = *(u64 *)(r0 + 0)\nr1 &= 16\nr1 |= 15\nr0 += r1\nr0 = *(u8 *)(r0 + 0)"),
  ),
  ok(
    "xor of bounded numbers",
    value("r1 = *(u64 *)(r0 + 0)\nr1 &= 31\nr1 ^= 7\nr0 += r1\nr0 = *(u8 *)(r0 + 0)"),
  ),
  no("bitwise on a pointer", "bitwise operator &= on pointer prohibited", value("r0 &= 8")),
  no("multiplication of a pointer", "pointer arithmetic with *= operator prohibited", value("r0 *= 8")),
  no("32-bit arithmetic on a pointer", "32-bit pointer arithmetic prohibited", value("w0 += 8")),
  no("sum of two pointers", "pointer += pointer prohibited", value("r0 += r10")),
  no("pointer moved too far", "is not allowed", value("r0 += 0x20000000")),
  no("scalar minus pointer", "tried to subtract pointer from scalar", value("r1 = 8\nr1 -= r0")),
  ok("pointer minus pointer", value("r0 -= r10")),
  ok("atomic on a value", value("r1 = 1\nlock *(u64 *)(r0 + 8) += r1")),
  no("misaligned atomic", "misaligned", value("r1 = 1\nlock *(u64 *)(r0 + 4) += r1")),
  ok("atomic fetch", value("r1 = 1\nr1 = atomic_fetch_add((u64 *)(r0 + 8), r1)\nr0 = r1")),
  ok(
    "atomic on the stack",
    plain("*(u64 *)(r10 - 8) = 0\nr1 = 1\nlock *(u64 *)(r10 - 8) += r1\nr0 = 0\nexit"),
  ),
  ok("pointer stored into a value as root", value("*(u64 *)(r0 + 0) = r10")),
  no(
    "number used as a pointer",
    "R1 invalid mem access 'scalar'",
    plain("r1 = 4096\nr0 = *(u64 *)(r1 + 0)\nexit"),
  ),
  no(
    "dereference of a map pointer's write",
    "",
    `.type xdp\n${HASH}\nr1 = m ll\n*(u64 *)(r1 + 0) = 0\nr0 = 0\nexit`,
  ),
  // Maps
  ok(
    "direct value",
    ".type xdp\n.map m array key=4 value=16 entries=1\nr1 = map[m][0]+8 ll\nr0 = *(u64 *)(r1 + 0)\nexit",
  ),
  no(
    "direct value past the end",
    "invalid access to map value, value_size=16 off=16 size=8",
    ".type xdp\n.map m array key=4 value=16 entries=1\nr1 = map[m][0]+8 ll\nr0 = *(u64 *)(r1 + 8)\nexit",
  ),
  ok(
    "array look-up with a known key cannot miss",
    ".type xdp\n.map m array key=4 value=16 entries=4\n*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = m ll\ncall bpf_map_lookup_elem\nr0 = *(u64 *)(r0 + 0)\nexit",
  ),
  no(
    "array look-up with a key past the end",
    "map_value_or_null",
    ".type xdp\n.map m array key=4 value=16 entries=4\n*(u32 *)(r10 - 8) = 4\nr2 = r10\nr2 += -8\nr1 = m ll\ncall bpf_map_lookup_elem\nr0 = *(u64 *)(r0 + 0)\nexit",
  ),
  ok(
    "a side that cannot be teaches the other",
    value(
      "r1 = *(u64 *)(r0 + 0)\nr1 &= 32\nr1 |= 31\nif r1 > 46 goto out\nif r1 > 31 goto out\nr0 += r1\nr0 = *(u8 *)(r0 + 16)",
    ),
  ),
  // Write-only values
  ok("writes a write-only value", writeOnly("*(u64 *)(r0 + 40) = 1")),
  no(
    "reads a write-only value",
    "read from map forbidden, value_size=48 off=40 size=8",
    writeOnly("r1 = *(u64 *)(r0 + 40)"),
  ),
  no(
    "adds to a write-only value",
    "read from map forbidden",
    writeOnly("r1 = 1\nlock *(u64 *)(r0 + 8) += r1"),
  ),
  no(
    "a helper reads a write-only value",
    "read from map forbidden",
    writeOnly("r1 = 0\nr2 = 0\nr3 = r0\nr4 = 8\nr5 = 0\ncall bpf_csum_diff", "tc"),
  ),
  ok(
    "a helper writes a write-only value",
    writeOnly("r1 = r7\nr2 = 0\nr3 = r0\nr4 = 8\ncall bpf_skb_load_bytes", "tc").replace(
      LOOKUP,
      `r7 = r1\n${LOOKUP}`,
    ),
  ),
  no(
    "a write-only value as a key",
    "read from map forbidden",
    writeOnly("r2 = r0\nr1 = m ll\ncall bpf_map_lookup_elem"),
  ),
  // Allowed to root, not to nobody (unprivileged.test.ts)
  ok("out of the value and back", value("r0 += 100\nr0 -= 100\nr0 = *(u8 *)(r0 + 0)")),
  ok("just behind the value and back", value("r0 += 48\nr0 -= 1\nr0 = *(u8 *)(r0 + 0)")),
  ok(
    "moved by another number on each path",
    value("r1 = *(u8 *)(r0 + 0)\nr2 = 4\nif r1 == 0 goto l\nr2 = 8\nl: r0 += r2\nr0 = *(u8 *)(r0 + 0)"),
  ),
  ok(
    "a number or a value at one addition",
    value("r1 = *(u8 *)(r0 + 0)\nr3 = 2\nr2 = r0\nif r1 == 0 goto l\nr2 = 5\nl: r2 += r3"),
  ),
  ok("map pointer plus a zero", `.type xdp\n${HASH}\nr1 = m ll\nr2 = 0\nr1 += r2\nr0 = 0\nexit`),
  ok("map pointer compared with 0", `.type xdp\n${HASH}\nr1 = m ll\nif r1 == 0 goto out\n${out}`),
];
