/** Where control goes, and when the walk may stop: jumps, loops, pruning, may_goto. As in cases.ts recorded from Linux 6.18. */
import { type Case, no, ok, plain, value } from "./case.ts";

export const FLOW_CASES: readonly Case[] = [
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
];
