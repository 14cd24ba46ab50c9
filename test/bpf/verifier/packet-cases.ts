/** Packet bytes: ranges proved by comparisons, and legacy loads. As in cases.ts recorded from Linux 6.18. */
import { type Case, HASH, LOOKUP, no, ok, out, PACKET, packet } from "./case.ts";

export const PACKET_CASES: readonly Case[] = [
  // Packet
  ok("checked packet read", packet("r4 = r2\nr4 += 14\nif r4 > r3 goto out\nr0 = *(u16 *)(r2 + 12)")),
  no(
    "unchecked packet read",
    "invalid access to packet, off=0 size=1, R2(id=0,off=0,r=0)",
    packet("r0 = *(u8 *)(r2 + 0)"),
  ),
  no(
    "one byte too far",
    "invalid access to packet, off=13 size=2, R2(id=0,off=13,r=14)",
    packet("r4 = r2\nr4 += 14\nif r4 > r3 goto out\nr0 = *(u16 *)(r2 + 13)"),
  ),
  ok("check by data_end < pointer", packet("r4 = r2\nr4 += 14\nif r3 < r4 goto out\nr0 = *(u16 *)(r2 + 12)")),
  ok(
    "check by >= proves one more",
    packet("r4 = r2\nr4 += 13\nif r4 >= r3 goto out\nr0 = *(u16 *)(r2 + 12)"),
  ),
  no(
    "check by > does not",
    "invalid access to packet",
    packet("r4 = r2\nr4 += 13\nif r4 > r3 goto out\nr0 = *(u16 *)(r2 + 12)"),
  ),
  ok(
    "check with <= and a jump in",
    packet("r4 = r2\nr4 += 4\nif r4 <= r3 goto in\ngoto out\nin: r0 = *(u32 *)(r2 + 0)"),
  ),
  no(
    "check the wrong way round",
    "invalid access to packet",
    packet("r4 = r2\nr4 += 4\nif r4 <= r3 goto out\nr0 = *(u32 *)(r2 + 0)"),
  ),
  no(
    "32-bit check proves nothing",
    "invalid access to packet",
    packet("r4 = r2\nr4 += 4\nif w4 > w3 goto out\nr0 = *(u32 *)(r2 + 0)"),
  ),
  ok(
    "variable packet offset, checked",
    packet(
      "r4 = r2\nr4 += 1\nif r4 > r3 goto out\nr5 = *(u8 *)(r2 + 0)\nr2 += r5\nr4 = r2\nr4 += 2\nif r4 > r3 goto out\nr0 = *(u16 *)(r2 + 0)",
    ),
  ),
  no(
    "variable packet offset, unchecked",
    "invalid access to packet",
    packet("r4 = r2\nr4 += 1\nif r4 > r3 goto out\nr5 = *(u8 *)(r2 + 0)\nr2 += r5\nr0 = *(u16 *)(r2 + 0)"),
  ),
  no(
    "packet offset of 32 unknown bits",
    "invalid access to packet",
    packet(
      "r4 = r2\nr4 += 4\nif r4 > r3 goto out\nr5 = *(u32 *)(r2 + 0)\nr2 += r5\nr2 += r5\nr2 += r5\nr4 = r2\nr4 += 2\nif r4 > r3 goto out\nr0 = *(u16 *)(r2 + 0)",
    ),
  ),
  ok(
    "offset from a byte swapped field, masked",
    packet(
      "r4 = r2\nr4 += 4\nif r4 > r3 goto out\nr5 = *(u16 *)(r2 + 0)\nr5 = be16 r5\nr5 &= 0xfff\nr2 += r5\nr4 = r2\nr4 += 2\nif r4 > r3 goto out\nr0 = *(u16 *)(r2 + 0)",
    ),
  ),
  no(
    "offset from a byte swapped field, unmasked",
    "",
    packet(
      "r4 = r2\nr4 += 4\nif r4 > r3 goto out\nr5 = *(u16 *)(r2 + 0)\nr5 = be16 r5\nr2 += r5\nr4 = r2\nr4 += 2\nif r4 > r3 goto out\nr0 = *(u16 *)(r2 + 0)",
    ),
  ),
  // A test of bits forgets the range, here 127 at most; what is left, 0xffff, and 3 are past the farthest offset.
  no(
    "offset known by its clear bits only, past what a packet may hold",
    "invalid access to packet, off=1 size=2, R2(id=1,off=1,r=0)",
    packet(
      "r4 = r2\nr4 += 1\nif r4 > r3 goto out\nr5 = *(s8 *)(r2 + 0)\nif r5 & 0xffff0000 goto out\nr2 += r5\nr4 = r2\nr4 += 3\nif r4 > r3 goto out\nr0 = *(s16 *)(r2 + 1)",
    ),
  ),
  ok(
    "offset known by its clear bits only, within a packet",
    packet(
      "r4 = r2\nr4 += 1\nif r4 > r3 goto out\nr5 = *(s8 *)(r2 + 0)\nif r5 & 0xffff8000 goto out\nr2 += r5\nr4 = r2\nr4 += 3\nif r4 > r3 goto out\nr0 = *(s16 *)(r2 + 1)",
    ),
  ),
  ok("packet write", packet("r4 = r2\nr4 += 4\nif r4 > r3 goto out\n*(u32 *)(r2 + 0) = 7")),
  ok("misaligned packet read", packet("r4 = r2\nr4 += 9\nif r4 > r3 goto out\nr0 = *(u64 *)(r2 + 1)")),
  no("arithmetic on data_end", "pointer arithmetic on pkt_end prohibited", packet("r3 += 1")),
  no("read through data_end", "R3 invalid mem access 'pkt_end'", packet("r0 = *(u8 *)(r3 + 0)")),
  ok(
    "metadata",
    `.type xdp\nr2 = *(u32 *)(r1 + 8)\nr3 = *(u32 *)(r1 + 0)\nr4 = r2\nr4 += 4\nif r4 > r3 goto out\nr0 = *(u32 *)(r2 + 0)\n${out}`,
  ),
  no(
    "metadata against data_end",
    "invalid access to packet",
    `.type xdp\nr2 = *(u32 *)(r1 + 8)\nr3 = *(u32 *)(r1 + 4)\nr4 = r2\nr4 += 4\nif r4 > r3 goto out\nr0 = *(u32 *)(r2 + 0)\n${out}`,
  ),
  no(
    "packet pointer kept over adjust_head",
    "R7 invalid mem access 'scalar'",
    `.type xdp\nr6 = r1\n${PACKET}\nr7 = r2\nr4 = r2\nr4 += 4\nif r4 > r3 goto out\nr2 = 0\ncall bpf_xdp_adjust_head\nr0 = *(u32 *)(r7 + 0)\n${out}`,
  ),
  ok(
    "packet pointer kept over a map look-up",
    `.type xdp\n${HASH}\n${PACKET}\nr7 = r2\nr4 = r2\nr4 += 4\nif r4 > r3 goto out\n${LOOKUP}\nr0 = *(u32 *)(r7 + 0)\n${out}`,
  ),
  no(
    "atomic on the packet",
    "BPF_ATOMIC stores into R2 pkt is not allowed",
    packet("r4 = r2\nr4 += 4\nif r4 > r3 goto out\nr1 = 1\nlock *(u32 *)(r2 + 0) += r1"),
  ),
  ok(
    "map key in the packet",
    `.type xdp\n${HASH}\n${PACKET}\nr4 = r2\nr4 += 8\nif r4 > r3 goto out\nr1 = m ll\ncall bpf_map_lookup_elem\n${out}`,
  ),
  no(
    "map key past the packet",
    "invalid access to packet",
    `.type xdp\n${HASH}\n${PACKET}\nr4 = r2\nr4 += 7\nif r4 > r3 goto out\nr1 = m ll\ncall bpf_map_lookup_elem\n${out}`,
  ),
  ok(
    "range through a copy with the same id",
    packet("r5 = r2\nr4 = r2\nr4 += 8\nif r4 > r3 goto out\nr0 = *(u64 *)(r5 + 0)"),
  ),
  ok(
    "the same failed check again",
    packet(
      "r4 = r2\nr4 += 8\nif r4 > r3 goto again\ngoto out\nagain: if r4 > r3 goto out\nr0 = *(u64 *)(r2 + 100)",
    ),
  ),
  ok("pointer difference is a number", packet("r3 -= r2\nr0 = r3")),
  ok(
    "subtract from a packet pointer",
    packet("r4 = r2\nr4 += 8\nif r4 > r3 goto out\nr4 -= 4\nr0 = *(u32 *)(r4 + 0)"),
  ),
  no(
    "before the packet",
    "invalid access to packet",
    packet("r4 = r2\nr4 += 8\nif r4 > r3 goto out\nr2 -= 4\nr0 = *(u32 *)(r2 + 0)"),
  ),
  // Legacy packet loads
  ok("packet load in a socket filter", ".type socket_filter\nr6 = r1\nr0 = *(u8 *)skb[12]\nexit"),
  no("packet load without skb in r6", "", ".type socket_filter\nr6 = 0\nr0 = *(u8 *)skb[12]\nexit"),
  no(
    "r1 after a packet load",
    "R1 !read_ok",
    ".type socket_filter\nr6 = r1\nr0 = *(u8 *)skb[12]\nr0 = r1\nexit",
  ),
];
