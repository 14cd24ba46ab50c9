/**
 * Where Linux 6.18 and we give different verdicts and stay with ours: a small program each, and a sentence on
 * who is right. Found by generated programs, whose seeds are listed too; whatever else differs is a bug of ours.
 */
export type Disagreement = {
  readonly name: string;
  readonly text: string;
  readonly kernelAccepts: boolean;
  readonly weAccept: boolean;
  readonly why: string;
};

export const DISAGREEMENTS: readonly Disagreement[] = [
  {
    name: "a callback that is never called back, beside another function",
    text: `.type xdp
r1 = 0
r2 = turn ll
r3 = 0
r4 = 0
call bpf_loop
call other
exit
other: r0 = 0
exit
turn: r0 = 0
exit`,
    kernelAccepts: false,
    weAccept: true,
    why: "We are right, the program is harmless: bpf_loop makes no turn, Linux removes the callback as dead code, then misses it, and says itself that this is a 'verifier bug: No program to jit'.",
  },
  {
    name: "an alignment known before a sign extension",
    text: `.type xdp
*(u64 *)(r10 - 8) = 0
call bpf_get_prandom_u32
r0 <<= 13
r0 = (s8)r0
r1 = r10
r1 += -8
r1 += r0
r0 = *(u16 *)(r1 + 0)
exit`,
    kernelAccepts: false,
    weAccept: true,
    why: "We are right: the low 13 bits are 0, so the byte extended is 0 and the access aligned; Linux forgets known bits when it sign-extends a number of unknown range.",
  },
];

/** Linux says so in its log when it trips over itself (-EFAULT): no verdict on the program. */
export function isKernelBug(log: readonly string[]): boolean {
  return log.some((line) => line.startsWith("verifier bug:"));
}

/** Seeds of generated programs that disagree for a reason above or said here. */
export const KNOWN_SEEDS: ReadonlyMap<number, string> = new Map([
  [15259, "an alignment known before a sign extension"],
  [17355, "the same: a multiple of 4 not below -1 is not negative, after `(s8)` too"],
]);
