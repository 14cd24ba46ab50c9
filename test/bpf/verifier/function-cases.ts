/**
 * Functions of the program itself: calls, callbacks, tail calls in them. Callbacks are recorded from the objects
 * libbpf loads: bare bytecode lacks the BTF the kernel wants there. As in cases.ts recorded from Linux 6.18.
 */
import { type Case, HASH, LOOKUP, no, ok, out, plain, value } from "./case.ts";

const PROGRAMS = ".map p prog_array key=4 value=4 entries=1";
/** A subprogram in whose place another program may return. */
const TAIL_CALLER = "f: r2 = p ll\nr3 = 0\ncall bpf_tail_call\nr0 = 7\nexit";

/** Its result, made safe by `check` or not, is an index into a map value of 48 bytes. */
function indexBy(check: string): string {
  return `.type xdp
${HASH}
${PROGRAMS}
r6 = r1
${LOOKUP}
if r0 == 0 goto out
r7 = r0
r1 = r6
call f
${check}
r7 += r0
r0 = *(u8 *)(r7 + 0)
out: r0 = 0
exit
${TAIL_CALLER}`;
}

/** A byte of the packet is read after `call`. */
function packetAfter(call: string): string {
  return `.type xdp
${PROGRAMS}
r6 = *(u32 *)(r1 + 0)
r7 = *(u32 *)(r1 + 4)
r2 = r6
r2 += 4
if r2 > r7 goto out
${call}
r0 = *(u8 *)(r6 + 3)
out: r0 = 0
exit`;
}

/**
 * Each of `rounds` rounds sets one of three numbers, whichever; `then` runs when the first two are set and the
 * third is not, which takes two rounds, and no more.
 */
function whenTwoAreSet(rounds: number, then: string): string {
  return plain(`r1 = 0
*(u64 *)(r10 - 8) = r1
*(u64 *)(r10 - 16) = r1
*(u64 *)(r10 - 24) = r1
r1 = ${rounds}
r2 = func f ll
r3 = r10
r3 += -24
r4 = 0
call bpf_loop
r1 = *(u64 *)(r10 - 24)
if r1 != 1 goto out
r1 = *(u64 *)(r10 - 16)
if r1 != 1 goto out
r1 = *(u64 *)(r10 - 8)
if r1 != 0 goto out
${then}
${out}
f: r6 = r2
call bpf_get_prandom_u32
r1 = r0
r2 = 1
r0 = 0
if r1 == 1 goto first
if r1 == 2 goto second
*(u64 *)(r6 + 16) = r2
exit
first: *(u64 *)(r6 + 0) = r2
exit
second: *(u64 *)(r6 + 8) = r2
exit`);
}

/** What a socket filter does with the result of a function that loads from the packet. */
function loadingCall(after: string, load = "r0 = *(u8 *)skb[12]"): string {
  return `.type socket_filter\nr6 = r1\ncall f\n${after}\nr0 = 0\nexit\nf: r6 = r1\nr1 = 0\n${load}\nr0 = 1\nexit`;
}

export const FUNCTION_CASES: readonly Case[] = [
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
  no(
    "nine frames where no path goes",
    "the call stack of 8 frames is too deep",
    plain(
      `r0 = 0\nif r0 == 0 goto out\ncall f1\n${out}\n${[1, 2, 3, 4, 5, 6, 7].map((i) => `f${i}: call f${i + 1}\nexit`).join("\n")}\nf8: r0 = 0\nexit`,
    ),
  ),
  ok(
    "eight frames where no path goes",
    plain(
      `r0 = 0\nif r0 == 0 goto out\ncall f1\n${out}\n${[1, 2, 3, 4, 5, 6].map((i) => `f${i}: call f${i + 1}\nexit`).join("\n")}\nf7: r0 = 0\nexit`,
    ),
  ),
  // A load beyond the packet's end leaves its function.
  ok("packet load in a function", loadingCall("")),
  no(
    "result of a function whose packet load failed",
    "R9 !read_ok",
    loadingCall("if r0 != 0 goto l\nr0 = r9\nl:"),
  ),
  no(
    "result of a function whose packet load at a register failed",
    "R9 !read_ok",
    loadingCall("if r0 != 0 goto l\nr0 = r9\nl:", "r7 = 3\nr0 = *(u16 *)skb[r7 + 2]"),
  ),
  ok("result of a function whose packet load did not fail", loadingCall("if r0 <= 1 goto l\nr0 = r9\nl:")),
  // Callbacks
  no("what two rounds can do", "R1 invalid mem access 'scalar'", whenTwoAreSet(2, "r0 = *(u8 *)(r1 + 0)")),
  ok("what one round cannot do", whenTwoAreSet(1, "r0 = *(u8 *)(r1 + 0)")),
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
  // Tail calls in subprograms
  no("a tail call in a subprogram may return anything", "invalid access to map value", indexBy("r0 &= 255")),
  ok("a tail call in a subprogram, its result checked", indexBy("if r0 > 47 goto out")),
  ok(
    "a tail call that falls through leaves the packet as it was",
    packetAfter("r2 = p ll\nr3 = 0\ncall bpf_tail_call"),
  ),
  no(
    "a subprogram's tail call may move the caller's packet",
    "R6 invalid mem access 'scalar'",
    `${packetAfter("call f")}\n${TAIL_CALLER}`,
  ),
];
