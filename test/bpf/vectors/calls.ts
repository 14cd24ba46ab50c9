/** Local calls, frames, helpers by id and by register, bpf_loop. */
import { program, type Vector } from "./vector.ts";

const recursion = (depth: number) =>
  program(
    `r1 = ${depth}`,
    "call down",
    "exit",
    "down:",
    "r0 = 0",
    "if r1 == 0 goto end",
    "r1 -= 1",
    "call down",
    "r0 += 1",
    "end:",
  );

const NEEDS_BTF = "it wants BTF for a callback";

export const CALL_VECTORS: readonly Vector[] = [
  {
    name: "a local call returns r0",
    group: "base32",
    text: "r1 = 20\nr2 = 22\ncall sum\nexit\nsum: r0 = r1\nr0 += r2\nexit",
    r0: 42n,
  },
  {
    name: "r6 to r9 survive a local call",
    group: "base32",
    text: "r6 = 1\nr7 = 2\nr8 = 3\nr9 = 4\ncall f\nr0 = r6\nr0 += r7\nr0 += r8\nr0 += r9\nexit\nf: r6 = 100\nr7 = 100\nr8 = 100\nr9 = 100\nr0 = 0\nexit",
    r0: 10n,
  },
  {
    name: "each frame has its own stack",
    group: "base64",
    text: "*(u64 *)(r10 - 8) = 7\ncall f\nr0 = *(u64 *)(r10 - 8)\nexit\nf: *(u64 *)(r10 - 8) = 9\nr0 = 0\nexit",
    r0: 7n,
  },
  {
    name: "a callee writes the caller's stack by pointer",
    group: "base64",
    text: "*(u64 *)(r10 - 8) = 7\nr1 = r10\nr1 += -8\ncall f\nr0 = *(u64 *)(r10 - 8)\nexit\nf: *(u64 *)(r1 + 0) = 9\nr0 = 0\nexit",
    r0: 9n,
  },
  {
    name: "a jump out of its function",
    group: "base32",
    text: "goto main\nf: r0 = 5\nexit\nmain: call f\nr0 += 1\nexit",
    r0: "fault",
    notLinux: "its verifier refuses the program",
  },
  {
    name: "calls two deep",
    group: "base32",
    text: "call f\nr0 *= 2\nexit\nf: call g\nr0 += 1\nexit\ng: r0 = 10\nexit",
    r0: 22n,
  },
  {
    name: "8 frames are allowed",
    group: "base32",
    text: recursion(6),
    r0: 6n,
    notLinux: "its verifier refuses recursion",
  },
  {
    name: "9 frames are too many",
    group: "base32",
    text: recursion(7),
    r0: "fault",
    notLinux: "its verifier refuses recursion",
  },
  {
    name: "a helper by id",
    group: "base32",
    text: program("call bpf_get_smp_processor_id#8", "r0 &= 0"),
    r0: 0n,
  },
  {
    name: "a helper keeps r6 to r9",
    group: "base32",
    text: program("r6 = 6", "r9 = 9", "call bpf_ktime_get_ns#5", "r0 = r6", "r0 += r9"),
    r0: 15n,
  },
  {
    name: "bpf_ktime_get_ns does not go back",
    group: "base64",
    text: "call bpf_ktime_get_ns#5\nr6 = r0\ncall bpf_ktime_get_ns#5\nr1 = r0\nr0 = 1\nif r1 >= r6 goto +1\nr0 = 0\nexit",
    r0: 1n,
  },
  {
    name: "a call by register names the helper by its id",
    group: "callx",
    text: program("r3 = 8", "callx r3", "r0 &= 0", "r0 += 3"),
    r0: 3n,
    notLinux: "it has no call by register",
  },
  {
    name: "a call by register to no helper",
    group: "callx",
    text: program("r3 = 0x7fffffff", "callx r3"),
    r0: "fault",
    notLinux: "it has no call by register",
  },
  {
    name: "may_goto falls through while there are rounds",
    group: "linux",
    text: "r0 = 0\nl: may_goto e\nr0 += 1\nif r0 < 5 goto l\ne: exit",
    r0: 5n,
  },
  {
    name: "may_goto over nothing",
    group: "linux",
    text: "r0 = 3\nmay_goto +0\nexit",
    r0: 3n,
  },
  {
    name: "two may_gotos in one loop",
    group: "linux",
    text: "r0 = 0\nr1 = 0\na: may_goto e\nr0 += 1\nb: may_goto e\nr1 += 1\nif r1 < 7 goto b\nif r0 < 3 goto a\ne: r0 *= 100\nr0 += r1\nexit",
    r0: 309n,
  },
  {
    name: "an unknown helper",
    group: "base32",
    text: program("call 9999"),
    r0: "fault",
    notLinux: "its verifier refuses the program",
  },
  {
    name: "bpf_loop calls back with 0..n-1 and returns n",
    group: "base64",
    text: "*(u64 *)(r10 - 8) = 0\nr1 = 5\nr2 = func each ll\nr3 = r10\nr3 += -8\nr4 = 0\ncall bpf_loop#181\nr1 = *(u64 *)(r10 - 8)\nr0 *= 100\nr0 += r1\nexit\neach: r3 = *(u64 *)(r2 + 0)\nr3 += r1\n*(u64 *)(r2 + 0) = r3\nr0 = 0\nexit",
    r0: 510n,
    notLinux: NEEDS_BTF,
  },
  {
    name: "bpf_loop stops when the callback returns 1",
    group: "base64",
    text: "r1 = 100\nr2 = func each ll\nr3 = 0\nr4 = 0\ncall bpf_loop#181\nexit\neach: r0 = 0\nif r1 != 6 goto +1\nr0 = 1\nexit",
    r0: 7n,
    notLinux: NEEDS_BTF,
  },
  {
    name: "bpf_loop of nothing",
    group: "base64",
    text: "r1 = 0\nr2 = func each ll\nr3 = 0\nr4 = 0\ncall bpf_loop#181\nexit\neach: r0 = 0\nexit",
    r0: 0n,
    notLinux: NEEDS_BTF,
  },
  {
    name: "bpf_loop refuses flags with -EINVAL",
    group: "base64",
    text: "r1 = 1\nr2 = func each ll\nr3 = 0\nr4 = 1\ncall bpf_loop#181\nexit\neach: r0 = 0\nexit",
    r0: 0xffff_ffff_ffff_ffean,
    notLinux: "its verifier refuses the flags",
  },
  {
    name: "bpf_loop refuses more than 2^23 turns with -E2BIG",
    group: "base64",
    text: "r1 = 8388609\nr2 = func each ll\nr3 = 0\nr4 = 0\ncall bpf_loop#181\nexit\neach: r0 = 0\nexit",
    r0: 0xffff_ffff_ffff_fff9n,
    notLinux: NEEDS_BTF,
  },
  {
    name: "bpf_loop keeps r6 to r9",
    group: "base64",
    text: "r6 = 3\nr1 = 4\nr2 = func each ll\nr3 = 0\nr4 = 0\ncall bpf_loop#181\nr0 += r6\nexit\neach: r6 = 50\nr0 = 0\nexit",
    r0: 7n,
    notLinux: NEEDS_BTF,
  },
];
