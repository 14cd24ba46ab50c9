/**
 * Small programs around every rule, one a row: what Linux 6.18 says of each (as root) is recorded in
 * `accepts`; verdicts.test.ts holds ours to it and, where bpf() is permitted, the running kernel too.
 * `says` is a piece of the kernel's message that ours must carry as well.
 * Callbacks are recorded from the objects libbpf loads: bare bytecode lacks the BTF the kernel wants there.
 */
import { type Case, no, ok } from "./case.ts";
import { FOREIGN_MAP_CASES } from "./foreign-map-cases.ts";
import { MAP_OF_MAPS_CASES } from "./map-of-maps-cases.ts";
import { SCALAR_CASES } from "./scalar-cases.ts";
import { SOCKET_CASES } from "./socket-cases.ts";

const LOOKUP = `*(u64 *)(r10 - 8) = 0
r2 = r10
r2 += -8
r1 = m ll
call bpf_map_lookup_elem`;
const HASH = ".map m hash key=8 value=48 entries=4";
const LOCK = ".map m hash key=8 value=48 entries=4 lock=0";
const PACKET = `r2 = *(u32 *)(r1 + 0)
r3 = *(u32 *)(r1 + 4)`;
const out = "out: r0 = 0\nexit";

/** After a successful look-up: r0 points to a 48-byte value. */
const value = (body: string, type = "xdp") =>
  `.type ${type}\n${HASH}\n${LOOKUP}\nif r0 == 0 goto out\n${body}\n${out}`;
const packet = (body: string, type = "xdp") => `.type ${type}\n${PACKET}\n${body}\n${out}`;
const plain = (body: string, type = "xdp") => `.type ${type}\n${body}`;

export const CASES: readonly Case[] = [
  // Control flow
  ok("the least program", plain("r0 = 0\nexit")),
  no("r0 unset at exit", "R0 !read_ok", plain("exit")),
  no("unreachable code", "unreachable insn 1", plain("exit\nr0 = 0\nexit")),
  no("falls off the end", "last insn is not an exit or jmp", plain("r0 = 0\nif r0 == 0 goto -1")),
  no("jump out of range", "jump out of range from insn 1 to 101", plain("r0 = 0\ngoto +99\nexit")),
  no(
    "endless loop",
    "infinite loop detected at insn",
    plain("r0 = 0\na: goto a\nexit").replace("\nexit", ""),
  ),
  no(
    "endless loop with a condition",
    "infinite loop detected",
    plain("r0 = 0\nr1 = 1\na: if r1 == 1 goto a\nexit"),
  ),
  ok("counted loop", plain("r0 = 0\na: r0 += 1\nif r0 < 100 goto a\nexit")),
  no(
    "unbounded loop",
    "BPF program is too large",
    plain("r0 = 0\na: r0 += 1\nif r0 != 5000000 goto a\nexit"),
  ),
  ok("goto over nothing", plain("r0 = 0\ngoto +0\nexit")),
  // Registers
  no("unset register", "R2 !read_ok", plain("r0 = r2\nexit")),
  no("r10 written", "frame pointer is read only", plain("r10 = 0\nr0 = 0\nexit")),
  no("r10 added to", "frame pointer is read only", plain("r10 += 8\nr0 = 0\nexit")),
  no("arguments gone after a call", "R1 !read_ok", plain("r1 = 1\ncall bpf_ktime_get_ns\nr0 = r1\nexit")),
  ok("saved registers stay", plain("r6 = 1\ncall bpf_ktime_get_ns\nr0 = r6\nexit")),
  no("division by the constant 0", "div by zero", plain("r0 = 1\nr0 /= 0\nexit")),
  ok("division by an unknown", plain("call bpf_ktime_get_ns\nr1 = 5\nr1 /= r0\nr0 = 0\nexit")),
  no("shift by 64", "invalid shift 64", plain("r0 = 1\nr0 <<= 64\nexit")),
  no("32-bit shift by 32", "invalid shift 32", plain("r0 = 1\nw0 <<= 32\nexit")),
  ok("shift by an unknown", plain("call bpf_ktime_get_ns\nr1 = 5\nr1 <<= r0\nr0 = 0\nexit")),
  ok("returns a pointer as root", plain("r0 = r1\nexit")),
  // Stack
  ok(
    "spill and fill a pointer",
    plain("*(u64 *)(r10 - 8) = r1\nr2 = *(u64 *)(r10 - 8)\nr0 = *(u32 *)(r2 + 12)\nexit"),
  ),
  no("below the stack", "invalid write to stack", plain("*(u64 *)(r10 - 520) = 0\nr0 = 0\nexit")),
  no("above the stack", "invalid write to stack", plain("*(u64 *)(r10 + 0) = 0\nr0 = 0\nexit")),
  no("misaligned spill", "misaligned stack access", plain("*(u64 *)(r10 - 12) = 0\nr0 = 0\nexit")),
  ok("uninitialised stack may be read by root", plain("r0 = *(u64 *)(r10 - 8)\nexit")),
  no(
    "partial fill of a pointer",
    "invalid size of register fill",
    plain("*(u64 *)(r10 - 8) = r1\nr0 = *(u32 *)(r10 - 8)\nexit"),
  ),
  no(
    "partial spill of a pointer",
    "invalid size of register spill",
    plain("*(u32 *)(r10 - 8) = r1\nr0 = 0\nexit"),
  ),
  no(
    "pointer overwritten by a byte",
    "R2 invalid mem access 'scalar'",
    plain(
      "*(u64 *)(r10 - 8) = r1\n*(u8 *)(r10 - 8) = 1\nr2 = *(u64 *)(r10 - 8)\nr0 = *(u32 *)(r2 + 12)\nexit",
    ),
  ),
  ok(
    "variable stack read",
    plain("call bpf_get_prandom_u32\nr0 &= 7\nr1 = r10\nr1 += -8\nr1 += r0\nr0 = *(u8 *)(r1 + 0)\nexit"),
  ),
  no(
    "variable stack read past the top",
    "invalid variable-offset read from stack",
    plain("call bpf_get_prandom_u32\nr0 &= 15\nr1 = r10\nr1 += -8\nr1 += r0\nr0 = *(u8 *)(r1 + 0)\nexit"),
  ),
  no(
    "unbounded stack offset",
    "math between fp pointer and register with unbounded min value is not allowed",
    plain(
      "call bpf_ktime_get_ns\nr1 = r10\nif r0 s> 100 goto out\nr1 += r0\nr0 = *(u8 *)(r1 + 0)\nout: r0 = 0\nexit",
    ),
  ),
  no(
    "subtraction from the frame pointer",
    "subtraction from stack pointer prohibited",
    plain("r1 = r10\nr1 -= 8\nr0 = 0\nexit"),
  ),
  ok(
    "variable stack write, then read back",
    plain(
      "*(u64 *)(r10 - 8) = 0\ncall bpf_get_prandom_u32\nr0 &= 7\nr1 = r10\nr1 += -8\nr1 += r0\n*(u8 *)(r1 + 0) = 1\nr0 = *(u64 *)(r10 - 8)\nexit",
    ),
  ),
  // Context
  ok("xdp ifindex", plain("r0 = *(u32 *)(r1 + 12)\nexit")),
  no("xdp past the end", "invalid bpf_context access off=24 size=4", plain("r0 = *(u32 *)(r1 + 24)\nexit")),
  no("data in 8 bytes", "invalid bpf_context access off=0 size=8", plain("r0 = *(u64 *)(r1 + 0)\nexit")),
  no("xdp narrow", "invalid bpf_context access off=12 size=1", plain("r0 = *(u8 *)(r1 + 12)\nexit")),
  no("xdp write", "invalid bpf_context access off=12 size=4", plain("*(u32 *)(r1 + 12) = 0\nr0 = 0\nexit")),
  no("egress_ifindex", "invalid bpf_context access off=20 size=4", plain("r0 = *(u32 *)(r1 + 20)\nexit")),
  ok("skb mark in parts", plain("r0 = *(u8 *)(r1 + 9)\nexit", "tc")),
  ok("skb mark written", plain("*(u32 *)(r1 + 8) = 1\nr0 = 0\nexit", "tc")),
  no(
    "skb mark written by a byte",
    "invalid bpf_context access off=8 size=1",
    plain("*(u8 *)(r1 + 8) = 1\nr0 = 0\nexit", "tc"),
  ),
  no(
    "skb len written",
    "invalid bpf_context access off=0 size=4",
    plain("*(u32 *)(r1 + 0) = 1\nr0 = 0\nexit", "tc"),
  ),
  ok("skb cb by bytes", plain("*(u8 *)(r1 + 49) = 1\nr0 = *(u16 *)(r1 + 50)\nexit", "tc")),
  no(
    "skb data for a socket filter",
    "invalid bpf_context access off=76 size=4",
    plain("r0 = *(u32 *)(r1 + 76)\nexit", "socket_filter"),
  ),
  ok("remote port for sk_skb", plain("r0 = *(u32 *)(r1 + 132)\nexit", "sk_skb")),
  no(
    "remote port for tc",
    "invalid bpf_context access off=132 size=4",
    plain("r0 = *(u32 *)(r1 + 132)\nexit", "tc"),
  ),
  no(
    "fixed offset on ctx",
    "dereference of modified ctx ptr R1 off=8 disallowed",
    plain("r1 += 8\nr0 = *(u32 *)(r1 + 4)\nexit"),
  ),
  no(
    "variable offset on ctx",
    "variable ctx access var_off=",
    plain("r6 = r1\ncall bpf_get_prandom_u32\nr0 &= 4\nr6 += r0\nr0 = *(u32 *)(r6 + 8)\nexit"),
  ),
  no(
    "ctx moved before a helper",
    "dereference of modified ctx ptr",
    plain("r1 += 4\nr2 = 0\ncall bpf_xdp_adjust_head\nr0 = 0\nexit"),
  ),
  no(
    "negative offset on ctx",
    "negative offset ctx ptr R1 off=-4 disallowed",
    plain("r1 += -4\nr0 = *(u32 *)(r1 + 4)\nexit"),
  ),
  no(
    "atomic on ctx",
    "BPF_ATOMIC stores into R1 ctx is not allowed",
    plain("r2 = 1\nlock *(u32 *)(r1 + 8) += r2\nr0 = 0\nexit", "tc"),
  ),
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
  // Helpers
  no("unknown helper", "invalid func unknown#", plain("call 9999\nr0 = 0\nexit")),
  no("helper of another type", "", plain("r2 = 0\ncall bpf_skb_pull_data\nr0 = 0\nexit")),
  ok(
    "uninitialised key as root",
    `.type xdp\n${HASH}\nr2 = r10\nr2 += -8\nr1 = m ll\ncall bpf_map_lookup_elem\nr0 = 0\nexit`,
  ),
  no(
    "key too short",
    "invalid read from stack R2 off=-4 size=8",
    `.type xdp\n${HASH}\nr2 = r10\nr2 += -4\nr1 = m ll\ncall bpf_map_lookup_elem\nr0 = 0\nexit`,
  ),
  no(
    "key is a number",
    "R2 type=scalar expected=fp, pkt, pkt_meta, map_key, map_value",
    `.type xdp\n${HASH}\nr2 = 0\nr1 = m ll\ncall bpf_map_lookup_elem\nr0 = 0\nexit`,
  ),
  no(
    "map is the stack",
    "R1 type=fp expected=map_ptr",
    `.type xdp\n${HASH}\nr2 = r10\nr2 += -8\nr1 = r10\ncall bpf_map_lookup_elem\nr0 = 0\nexit`,
  ),
  no(
    "ctx is a number",
    "R1 type=scalar expected=ctx",
    plain("r1 = 0\nr2 = 0\ncall bpf_xdp_adjust_head\nr0 = 0\nexit"),
  ),
  no("argument unset", "R2 !read_ok", plain("call bpf_xdp_adjust_head\nr0 = 0\nexit")),
  ok(
    "variable length, bounded",
    plain(
      "r6 = r1\ncall bpf_get_prandom_u32\nr4 = r0\nr4 &= 31\nr4 += 1\nr3 = r10\nr3 += -32\nr2 = 0\nr1 = r6\ncall bpf_xdp_load_bytes\nr0 = 0\nexit",
    ),
  ),
  no(
    "variable length, may be 0",
    "invalid zero-sized read",
    plain(
      "r6 = r1\ncall bpf_get_prandom_u32\nr4 = r0\nr4 &= 31\nr3 = r10\nr3 += -32\nr2 = 0\nr1 = r6\ncall bpf_xdp_load_bytes\nr0 = 0\nexit",
    ),
  ),
  no(
    "variable length, too large",
    "invalid write to stack R3 off=-32 size=33",
    plain(
      "r6 = r1\ncall bpf_get_prandom_u32\nr4 = r0\nr4 &= 32\nr4 += 1\nr3 = r10\nr3 += -32\nr2 = 0\nr1 = r6\ncall bpf_xdp_load_bytes\nr0 = 0\nexit",
    ),
  ),
  no(
    "variable length, may be negative",
    "R4 min value is negative",
    plain(
      "r6 = r1\ncall bpf_ktime_get_ns\nr4 = r0\nif r4 s> 16 goto out\nr3 = r10\nr3 += -32\nr2 = 0\nr1 = r6\ncall bpf_xdp_load_bytes\nout: r0 = 0\nexit",
    ),
  ),
  no(
    "variable length, unbounded",
    "R4 ",
    plain(
      "r6 = r1\ncall bpf_get_prandom_u32\nr4 = r0\nr4 |= 1\nr3 = r10\nr3 += -32\nr2 = 0\nr1 = r6\ncall bpf_xdp_load_bytes\nr0 = 0\nexit",
    ),
  ),
  ok(
    "csum_diff with NULL and 0",
    plain(
      "r1 = 0\nr2 = 0\nr3 = r10\nr3 += -8\n*(u64 *)(r10 - 8) = 0\nr4 = 8\nr5 = 0\ncall bpf_csum_diff\nexit",
    ),
  ),
  no(
    "csum_diff with NULL and a size",
    "R1 type=scalar expected=fp",
    plain(
      "r1 = 0\nr2 = 4\nr3 = r10\nr3 += -8\n*(u64 *)(r10 - 8) = 0\nr4 = 8\nr5 = 0\ncall bpf_csum_diff\nexit",
    ),
  ),
  ok(
    "value given to update from a value",
    value(
      "r6 = r0\n*(u64 *)(r10 - 8) = 0\nr1 = m ll\nr2 = r10\nr2 += -8\nr3 = r6\nr4 = 0\ncall bpf_map_update_elem",
    ),
  ),
  no(
    "value given to update too short",
    "invalid access to map value, value_size=48 off=8 size=48",
    value(
      "r6 = r0\n*(u64 *)(r10 - 8) = 0\nr1 = m ll\nr2 = r10\nr2 += -8\nr3 = r6\nr3 += 8\nr4 = 0\ncall bpf_map_update_elem",
    ),
  ),
  ok(
    "tail call",
    ".type xdp\n.map t prog_array key=4 value=4 entries=4\nr2 = t ll\nr3 = 0\ncall bpf_tail_call\nr0 = 2\nexit",
  ),
  no(
    "tail call through a hash",
    "expected prog array map for tail call",
    `.type xdp\n${HASH}\nr2 = m ll\nr3 = 0\ncall bpf_tail_call\nr0 = 2\nexit`,
  ),
  no(
    "look-up in a program array",
    "cannot pass map_type 3 into func bpf_map_lookup_elem#1",
    ".type xdp\n.map t prog_array key=4 value=4 entries=4\n*(u64 *)(r10 - 8) = 0\nr2 = r10\nr2 += -8\nr1 = t ll\ncall bpf_map_lookup_elem\nr0 = 0\nexit",
  ),
  ok(
    "packet pointers after a tail call that failed",
    `.type xdp\n.map t prog_array key=4 value=4 entries=4\nr6 = r1\nr7 = *(u32 *)(r6 + 0)\nr8 = *(u32 *)(r6 + 4)\nr3 = r7\nr3 += 6\nif r3 > r8 goto out\nr1 = r6\nr2 = t ll\nr3 = 0\ncall bpf_tail_call\nr2 = *(u8 *)(r7 + 1)\n${out}`,
  ),
  no(
    "packet pointers after a function that may have ended in a tail call",
    "R7 invalid mem access 'scalar'",
    `.type xdp\n.map t prog_array key=4 value=4 entries=4\nr6 = r1\nr7 = *(u32 *)(r6 + 0)\nr8 = *(u32 *)(r6 + 4)\nr3 = r7\nr3 += 6\nif r3 > r8 goto out\nr1 = r6\ncall f\nr2 = *(u8 *)(r7 + 1)\n${out}\nf: r2 = t ll\nr3 = 0\ncall bpf_tail_call\nr0 = 0\nexit`,
  ),
  no(
    "result of a function that may have ended in a tail call, taken for its own",
    "invalid variable-offset read from stack",
    `.type xdp\n.map t prog_array key=4 value=4 entries=4\n*(u64 *)(r10 - 8) = 0\ncall f\nr1 = r10\nr1 += -8\nr0 &= 63\nr1 += r0\nr0 = *(u8 *)(r1 + 0)\nexit\nf: r2 = t ll\nr3 = 0\ncall bpf_tail_call\nr0 = 0\nexit`,
  ),
  ok(
    "a broken global function only dead code calls",
    ".type xdp\n.global g u32\nr1 = 1\nif r1 == 1 goto out\ncall g\nout: r0 = 0\nexit\ng: exit",
  ),
  no(
    "an alignment known before a sign extension is forgotten",
    "misaligned stack access",
    plain(
      "*(u64 *)(r10 - 8) = 0\ncall bpf_get_prandom_u32\nr0 <<= 13\nr0 = (s8)r0\nr1 = r10\nr1 += -8\nr1 += r0\nr0 = *(u16 *)(r1 + 0)\nexit",
    ),
  ),
  ok(
    "array element 0 by the upper half of a spilled zero",
    ".type xdp\n.map a array key=4 value=8 entries=1\n*(u64 *)(r10 - 8) = 0\nr2 = r10\nr2 += -4\nr1 = a ll\ncall bpf_map_lookup_elem\nr0 = *(u64 *)(r0 + 0)\nexit",
  ),
  no(
    "result used after a tail call",
    "R0 !read_ok",
    ".type xdp\n.map t prog_array key=4 value=4 entries=4\nr2 = t ll\nr3 = 0\ncall bpf_tail_call\nexit",
  ),
  // Spin locks
  ok(
    "lock and unlock",
    `.type xdp\n${LOCK}\n${LOOKUP}\nif r0 == 0 goto out\nr6 = r0\nr1 = r0\ncall bpf_spin_lock\nr1 = *(u64 *)(r6 + 8)\nr1 += 1\n*(u64 *)(r6 + 8) = r1\nr1 = r6\ncall bpf_spin_unlock\n${out}`,
  ),
  no(
    "exit with the lock",
    "BPF_EXIT instruction in main prog cannot be used inside bpf_spin_lock-ed region",
    `.type xdp\n${LOCK}\n${LOOKUP}\nif r0 == 0 goto out\nr1 = r0\ncall bpf_spin_lock\n${out}`,
  ),
  no(
    "helper under the lock",
    "function calls are not allowed while holding a lock",
    `.type xdp\n${LOCK}\n${LOOKUP}\nif r0 == 0 goto out\nr6 = r0\nr1 = r0\ncall bpf_spin_lock\ncall bpf_ktime_get_ns\nr1 = r6\ncall bpf_spin_unlock\n${out}`,
  ),
  no(
    "two locks",
    "function calls are not allowed while holding a lock",
    `.type xdp\n${LOCK}\n${LOOKUP}\nif r0 == 0 goto out\nr6 = r0\nr1 = r0\ncall bpf_spin_lock\nr1 = r6\ncall bpf_spin_lock\n${out}`,
  ),
  no(
    "unlock without lock",
    "bpf_spin_unlock without taking a lock",
    `.type xdp\n${LOCK}\n${LOOKUP}\nif r0 == 0 goto out\nr1 = r0\ncall bpf_spin_unlock\n${out}`,
  ),
  no(
    "unlock of another element",
    "bpf_spin_unlock of different lock",
    `.type xdp\n${LOCK}\n${LOOKUP}\nif r0 == 0 goto out\nr7 = r0\n${LOOKUP}\nif r0 == 0 goto out\nr6 = r0\nr1 = r0\ncall bpf_spin_lock\nr1 = r7\ncall bpf_spin_unlock\n${out}`,
  ),
  no(
    "lock on one path only",
    "",
    `.type xdp\n${LOCK}\n${LOOKUP}\nif r0 == 0 goto out\nr6 = r0\nr1 = *(u64 *)(r0 + 8)\nif r1 == 0 goto unlock\nr1 = r0\ncall bpf_spin_lock\nunlock: r1 = r6\ncall bpf_spin_unlock\n${out}`,
  ),
  no(
    "lock read as data",
    "bpf_spin_lock cannot be accessed directly by load/store",
    `.type xdp\n${LOCK}\n${LOOKUP}\nif r0 == 0 goto out\nr0 = *(u32 *)(r0 + 0)\n${out}`,
  ),
  no(
    "lock at the wrong place",
    "doesn't point to 'struct bpf_spin_lock' that is at 0",
    `.type xdp\n${LOCK}\n${LOOKUP}\nif r0 == 0 goto out\nr1 = r0\nr1 += 4\ncall bpf_spin_lock\n${out}`,
  ),
  no("lock in a map without one", "", value("r1 = r0\ncall bpf_spin_lock")),
  no(
    "lock for a socket filter",
    "socket filter progs cannot use bpf_spin_lock yet",
    `.type socket_filter\n${LOCK}\nr1 = m ll\nr0 = 0\nexit`,
  ),
  no(
    "lock at a variable place",
    "doesn't have constant offset. bpf_spin_lock has to be at the constant offset",
    `.type xdp\n${LOCK}\n${LOOKUP}\nif r0 == 0 goto out\nr1 = *(u64 *)(r0 + 8)\nr1 &= 4\nr0 += r1\nr1 = r0\ncall bpf_spin_lock\n${out}`,
  ),
  // Functions
  ok("static function", plain("call f\nexit\nf: r0 = 1\nexit")),
  ok(
    "reads the caller's stack",
    plain("*(u64 *)(r10 - 8) = 5\nr1 = r10\nr1 += -8\ncall f\nexit\nf: r0 = *(u64 *)(r1 + 0)\nexit"),
  ),
  no(
    "returns its own stack",
    "cannot return stack pointer to the caller",
    plain("call f\nr0 = 0\nexit\nf: r0 = r10\nexit"),
  ),
  no(
    "spills its stack into the caller's",
    "cannot spill pointers to stack into stack frame of the caller",
    plain("r1 = r10\nr1 += -8\ncall f\nr0 = 0\nexit\nf: *(u64 *)(r1 + 0) = r10\nr0 = 0\nexit"),
  ),
  no("callee's registers are its own", "R6 !read_ok", plain("r6 = 1\ncall f\nexit\nf: r0 = r6\nexit")),
  no(
    "stack too deep in two frames",
    "combined stack size of 2 calls is",
    plain(
      "*(u64 *)(r10 - 300) = 0\ncall f\nexit\nf: *(u64 *)(r10 - 300) = 0\nr0 = 0\nexit".replaceAll(
        "300",
        "304",
      ),
    ),
  ),
  no("recursion", "the call stack of", plain("call f\nexit\nf: call f\nexit")),
  ok(
    "clears the caller's buffer",
    plain("r1 = r10\nr1 += -8\ncall f\nr0 = *(u64 *)(r10 - 8)\nexit\nf: *(u64 *)(r1 + 0) = 0\nr0 = 0\nexit"),
  ),
  ok(
    "bound checked by a function",
    value(
      "r6 = r0\nr1 = *(u64 *)(r0 + 0)\ncall f\nr6 += r0\nr0 = *(u8 *)(r6 + 0)\ngoto out\nf: r0 = r1\nif r0 < 40 goto l\nr0 = 0\nl: exit",
    )
      .replace(`\n${out}`, "")
      .replace("goto out\nf:", `${out}\nf:`),
  ),
  no(
    "tail call from a function with a deep caller",
    "tail_call",
    ".type xdp\n.map t prog_array key=4 value=4 entries=4\n*(u64 *)(r10 - 264) = 0\ncall f\nr0 = 2\nexit\nf: r2 = t ll\nr3 = 0\ncall bpf_tail_call\nr0 = 0\nexit",
  ),
  // Pruning: what two paths must not share
  no(
    "one path leaves the index unbounded",
    "",
    value(
      "r1 = *(u64 *)(r0 + 0)\nr2 = *(u64 *)(r0 + 8)\nif r2 == 0 goto skip\nr1 &= 7\nskip: r0 += r1\nr0 = *(u8 *)(r0 + 0)",
    ),
  ),
  no(
    "one path leaves another pointer",
    "",
    value("r6 = r0\nr2 = *(u64 *)(r0 + 8)\nr1 = r0\nif r2 == 0 goto use\nr1 = 8\nuse: r0 = *(u8 *)(r1 + 0)"),
  ),
  no(
    "precision through the stack",
    "",
    value(
      "r1 = *(u64 *)(r0 + 0)\nr2 = *(u64 *)(r0 + 8)\n*(u64 *)(r10 - 16) = 4\nif r1 == 0 goto use\n*(u64 *)(r10 - 16) = 400\nuse: r3 = *(u64 *)(r10 - 16)\nr0 += r3\nr0 = *(u8 *)(r0 + 0)",
    ),
  ),
  no(
    "precision through arithmetic",
    "",
    value(
      "r1 = *(u64 *)(r0 + 0)\nr2 = 4\nif r1 == 0 goto use\nr2 = 60\nuse: r3 = r2\nr3 += 1\nr0 += r3\nr0 = *(u8 *)(r0 + 0)",
    ),
  ),
  // Callbacks
  ok(
    "bpf_loop",
    plain("r1 = 10\nr2 = func f ll\nr3 = 0\nr4 = 0\ncall bpf_loop\nr0 = 0\nexit\nf: r0 = 0\nexit"),
  ),
  ok(
    "bpf_loop with a context on the stack",
    plain(
      "*(u64 *)(r10 - 8) = 0\nr1 = 1000000\nr2 = func f ll\nr3 = r10\nr3 += -8\nr4 = 0\ncall bpf_loop\nr0 = *(u64 *)(r10 - 8)\nexit\nf: r3 = *(u64 *)(r2 + 0)\nr3 += 1\n*(u64 *)(r2 + 0) = r3\nr0 = 0\nexit",
    ),
  ),
  no(
    "bpf_loop index unbounded",
    "",
    value(
      "r6 = r0\n*(u64 *)(r10 - 16) = r6\nr1 = 10\nr2 = func f ll\nr3 = r10\nr3 += -16\nr4 = 0\ncall bpf_loop",
    ).replace(
      /\nout: [\s\S]*$/,
      `\n${out}\nf: r3 = *(u64 *)(r2 + 0)\nr3 += r1\nr4 = *(u8 *)(r3 + 0)\nr0 = 0\nexit`,
    ),
  ),
  ok(
    "bpf_loop index checked",
    value(
      "r6 = r0\n*(u64 *)(r10 - 16) = r6\nr1 = 10\nr2 = func f ll\nr3 = r10\nr3 += -16\nr4 = 0\ncall bpf_loop",
    ).replace(
      /\nout: [\s\S]*$/,
      `\n${out}\nf: r3 = *(u64 *)(r2 + 0)\nif r1 > 40 goto l\nr3 += r1\nr4 = *(u8 *)(r3 + 0)\nl: r0 = 0\nexit`,
    ),
  ),
  no(
    "callback returns 2",
    "At callback return the register R0 has",
    plain("r1 = 10\nr2 = func f ll\nr3 = 0\nr4 = 0\ncall bpf_loop\nr0 = 0\nexit\nf: r0 = 2\nexit"),
  ),
  no(
    "callback returns nothing",
    "R0 !read_ok",
    plain("r1 = 10\nr2 = func f ll\nr3 = 0\nr4 = 0\ncall bpf_loop\nr0 = 0\nexit\nf: exit"),
  ),
  no(
    "callback spoils what the loop stands on",
    "",
    value(
      "r6 = r0\n*(u64 *)(r10 - 16) = 0\nr1 = 100\nr2 = func f ll\nr3 = r10\nr3 += -16\nr4 = 0\ncall bpf_loop\nr1 = *(u64 *)(r10 - 16)\nr6 += r1\nr0 = *(u8 *)(r6 + 0)",
    ).replace(
      /\nout: [\s\S]*$/,
      `\n${out}\nf: r3 = *(u64 *)(r2 + 0)\nr3 += 1\n*(u64 *)(r2 + 0) = r3\nr0 = 0\nexit`,
    ),
  ),
  no(
    "callback spoils it in one step",
    "",
    value(
      "r6 = r0\n*(u64 *)(r10 - 16) = 0\nr1 = 10\nr2 = func f ll\nr3 = r10\nr3 += -16\nr4 = 0\ncall bpf_loop\nr1 = *(u64 *)(r10 - 16)\nr6 += r1\nr0 = *(u8 *)(r6 + 0)",
    ).replace(/\nout: [\s\S]*$/, `\n${out}\nf: *(u64 *)(r2 + 0) = 400\nr0 = 0\nexit`),
  ),
  no(
    "callback spoils a pointer's slot",
    "",
    value(
      "*(u64 *)(r10 - 16) = r0\nr1 = 10\nr2 = func f ll\nr3 = r10\nr3 += -16\nr4 = 0\ncall bpf_loop\nr6 = *(u64 *)(r10 - 16)\nr0 = *(u8 *)(r6 + 0)",
    ).replace(/\nout: [\s\S]*$/, `\n${out}\nf: *(u64 *)(r2 + 0) = 4\nr0 = 0\nexit`),
  ),
  // References
  ok(
    "socket looked up and released",
    ".type tc\n*(u64 *)(r10 - 16) = 0\n*(u64 *)(r10 - 8) = 0\nr2 = r10\nr2 += -16\nr3 = 12\nr4 = 0\nr5 = 0\ncall bpf_sk_lookup_tcp\nif r0 == 0 goto out\nr1 = r0\ncall bpf_sk_release\nout: r0 = 0\nexit",
  ),
  no(
    "socket not released",
    "Unreleased reference",
    ".type tc\n*(u64 *)(r10 - 16) = 0\n*(u64 *)(r10 - 8) = 0\nr2 = r10\nr2 += -16\nr3 = 12\nr4 = 0\nr5 = 0\ncall bpf_sk_lookup_tcp\nr0 = 0\nexit",
  ),
  no(
    "socket released without a null check",
    "",
    ".type tc\n*(u64 *)(r10 - 16) = 0\n*(u64 *)(r10 - 8) = 0\nr2 = r10\nr2 += -16\nr3 = 12\nr4 = 0\nr5 = 0\ncall bpf_sk_lookup_tcp\nr1 = r0\ncall bpf_sk_release\nr0 = 0\nexit",
  ),
  no(
    "socket released twice",
    "",
    ".type tc\n*(u64 *)(r10 - 16) = 0\n*(u64 *)(r10 - 8) = 0\nr2 = r10\nr2 += -16\nr3 = 12\nr4 = 0\nr5 = 0\ncall bpf_sk_lookup_tcp\nif r0 == 0 goto out\nr6 = r0\nr1 = r0\ncall bpf_sk_release\nr1 = r6\ncall bpf_sk_release\nout: r0 = 0\nexit",
  ),
  no(
    "socket used after release",
    "",
    ".type tc\n*(u64 *)(r10 - 16) = 0\n*(u64 *)(r10 - 8) = 0\nr2 = r10\nr2 += -16\nr3 = 12\nr4 = 0\nr5 = 0\ncall bpf_sk_lookup_tcp\nif r0 == 0 goto out\nr6 = r0\nr1 = r0\ncall bpf_sk_release\nr0 = *(u32 *)(r6 + 0)\nout: r0 = 0\nexit",
  ),
  // Legacy packet loads
  ok("packet load in a socket filter", ".type socket_filter\nr6 = r1\nr0 = *(u8 *)skb[12]\nexit"),
  no("packet load without skb in r6", "", ".type socket_filter\nr6 = 0\nr0 = *(u8 *)skb[12]\nexit"),
  no(
    "r1 after a packet load",
    "R1 !read_ok",
    ".type socket_filter\nr6 = r1\nr0 = *(u8 *)skb[12]\nr0 = r1\nexit",
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
  // Tail calls in subprograms
  no(
    "a tail call in a subprogram may return anything",
    "invalid access to map value",
    `.type xdp
${HASH}
.map p prog_array key=4 value=4 entries=1
r6 = r1
${LOOKUP}
if r0 == 0 goto out
r7 = r0
r1 = r6
call f
r0 &= 255
r7 += r0
r0 = *(u8 *)(r7 + 0)
out: r0 = 0
exit
f: r2 = p ll
r3 = 0
call bpf_tail_call
r0 = 7
exit`,
  ),
  ok(
    "a tail call in a subprogram, its result checked",
    `.type xdp
${HASH}
.map p prog_array key=4 value=4 entries=1
r6 = r1
${LOOKUP}
if r0 == 0 goto out
r7 = r0
r1 = r6
call f
if r0 > 47 goto out
r7 += r0
r0 = *(u8 *)(r7 + 0)
out: r0 = 0
exit
f: r2 = p ll
r3 = 0
call bpf_tail_call
r0 = 7
exit`,
  ),
  ok(
    "a tail call that falls through leaves the packet as it was",
    `.type xdp
.map p prog_array key=4 value=4 entries=1
r6 = *(u32 *)(r1 + 0)
r7 = *(u32 *)(r1 + 4)
r2 = r6
r2 += 4
if r2 > r7 goto out
r2 = p ll
r3 = 0
call bpf_tail_call
r0 = *(u8 *)(r6 + 3)
out: r0 = 0
exit`,
  ),
  no(
    "a subprogram's tail call may move the caller's packet",
    "R6 invalid mem access 'scalar'",
    `.type xdp
.map p prog_array key=4 value=4 entries=1
r6 = *(u32 *)(r1 + 0)
r7 = *(u32 *)(r1 + 4)
r2 = r6
r2 += 4
if r2 > r7 goto out
call f
r0 = *(u8 *)(r6 + 3)
out: r0 = 0
exit
f: r2 = p ll
r3 = 0
call bpf_tail_call
r0 = 7
exit`,
  ),
  // may_goto
  ok("may_goto ends an endless loop", plain("l: may_goto e\ngoto l\ne: r0 = 0\nexit")),
  ok("may_goto around a sum", plain("r6 = 0\nl: may_goto e\nr6 += 3\ngoto l\ne: r0 = r6\nexit")),
  ok("may_goto over nothing", plain("may_goto +0\nr0 = 0\nexit")),
  ok("may_goto forwards only", plain("r0 = 0\nmay_goto e\nr0 = 1\ne: exit")),
  ok(
    "may_goto in nested loops",
    plain("r6 = 0\na: may_goto e\nb: may_goto a\nr6 += 1\ngoto b\ne: r0 = 0\nexit"),
  ),
  ok(
    "may_goto around a spilled sum",
    plain(
      "*(u64 *)(r10 - 8) = 0\nl: may_goto e\nr1 = *(u64 *)(r10 - 8)\nr1 += 3\n*(u64 *)(r10 - 8) = r1\ngoto l\ne: r0 = 0\nexit",
    ),
  ),
  ok(
    "may_goto in a subprogram",
    plain("call f\nr0 = 0\nexit\nf: r0 = 0\nl: may_goto e\nr0 += 1\ngoto l\ne: exit"),
  ),
  no(
    "may_goto does not help a loop inside its round",
    "infinite loop detected",
    plain("r1 = 1\nl: may_goto e\nin: if r1 == 1 goto in\ngoto l\ne: r0 = 0\nexit"),
  ),
  no(
    "may_goto: a register set only in a round",
    "R6 !read_ok",
    plain("may_goto e\nr6 = 1\ne: r0 = r6\nexit"),
  ),
  no(
    "may_goto: an index unchecked in a later round",
    "invalid access to map value",
    value("r8 = r0\nr6 = 0\nl: may_goto out\nr1 = r8\nr1 += r6\nr2 = *(u8 *)(r1 + 0)\nr6 += 1\ngoto l"),
  ),
  ok(
    "may_goto: an index checked in each round",
    value(
      "r8 = r0\nr6 = 0\nl: may_goto out\nif r6 > 47 goto out\nr1 = r8\nr1 += r6\nr2 = *(u8 *)(r1 + 0)\nr6 += 1\ngoto l",
    ),
  ),
  no("may_goto out of range", "jump out of range", plain("r0 = 0\nmay_goto +9\nexit")),
  ...FOREIGN_MAP_CASES,
  ...MAP_OF_MAPS_CASES,
  ...SCALAR_CASES,
  ...SOCKET_CASES,
];
