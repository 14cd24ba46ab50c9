/** What registers, the stack and the context hold, and what may be read of them. As in cases.ts recorded from Linux 6.18. */
import { type Case, no, ok, plain, value } from "./case.ts";

export const STACK_CASES: readonly Case[] = [
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
  ok(
    "adds to a spilled pointer",
    plain("*(u64 *)(r10 - 8) = r10\nr1 = 1\nlock *(u64 *)(r10 - 8) += r1\nr0 = 0\nexit"),
  ),
  ok("r10 plus 0", plain("r1 = r10\nr1 += 0\n*(u8 *)(r1 - 1) = 0\nr0 = 0\nexit")),
  // One instruction, two kinds of pointer
  no(
    "a load through the context or the stack",
    "same insn cannot be used with different pointers",
    plain(
      "r6 = r1\n*(u64 *)(r10 - 8) = 0\ncall bpf_get_prandom_u32\nr1 = r10\nr1 += -8\nif r0 == 0 goto l\nr1 = r6\nl: r0 = *(u32 *)(r1 + 0)\nr0 = 0\nexit",
    ),
  ),
  no(
    "a store through the stack or the context",
    "same insn cannot be used with different pointers",
    plain(
      "r6 = r1\ncall bpf_get_prandom_u32\nr1 = r6\nif r0 == 0 goto l\nr1 = r10\nr1 += -64\nl: *(u32 *)(r1 + 8) = 0\nr0 = 0\nexit",
      "tc",
    ),
  ),
  ok(
    "a load through the stack or a map value",
    value(
      "*(u64 *)(r10 - 16) = 0\nr1 = *(u8 *)(r0 + 0)\nif r1 == 0 goto l\nr0 = r10\nr0 += -16\nl: r0 = *(u32 *)(r0 + 0)",
    ),
  ),
];
