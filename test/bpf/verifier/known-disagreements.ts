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
];

/** Linux says so in its log when it trips over itself (-EFAULT): no verdict on the program. */
export function isKernelBug(log: readonly string[]): boolean {
  return log.some((line) => line.startsWith("verifier bug:"));
}

/** Seeds of generated programs that disagree for a reason above or said here. */
export const KNOWN_SEEDS: ReadonlyMap<number, string> = new Map();
