/**
 * The kernel's log and ours, brought to one form so that they can be compared line by line. Left out
 * of the kernel's: what it says of precision, liveness and loops, addresses, and the mark of precise scalars;
 * of ours: names of maps, which the oracle's maps have not. Its functions have a number before their names.
 */
const LEFT_OUT = /^mark_precise:|^force_precise:|^frame \d+: propagating|^SCC |^\(\d+(,\d+)*\) |^func#/;
const LIVE_REGISTERS = /^\s+\d*\s*\d+: [.\d]{10} /;
const STATE = /^\d+:( frame\d+:)? (R\d+=|fp-|refs=|$)/;
const INSN = /^\d+: \(/;

export function kernelLines(log: readonly string[]): string[] {
  const lines: string[] = [];
  let isInterrupted = false;
  for (const line of log.flatMap(unrunTogether)) {
    if (line.startsWith("Live regs before insn") || LIVE_REGISTERS.test(line)) continue;
    if (LEFT_OUT.test(line)) {
      isInterrupted = true;
      continue;
    }
    const last = lines.at(-1);
    // Lines on precision push the state off its instruction's line: put it back.
    if (isInterrupted && STATE.test(line) && last && INSN.test(last) && !last.includes(" ; ")) {
      lines[lines.length - 1] = tidy(`${last} ; ${line.replace(/^\d+: /, "")}`);
    } else if (!/^\d+:$/.test(line)) {
      lines.push(
        tidy(line.replace(/r(\d+) = 0xffff[0-9a-f]{12}\b/, "r$1 = MAP").replace(/\bf\d+_(?=\w)/, "")),
      );
    }
    isInterrupted = false;
  }
  return lines;
}

/** Lines the kernel forgets to end: of one message, and at level 1 where a branch is taken up later. */
const RUN_TOGETHER = [
  /^(expected prog array map for tail call)(processed .*)$/,
  /^(\d+: \([0-9a-f]{2}\) [^;]*?) (\d+:(?: frame\d+:)? (?:R\d+=|fp-).*)$/,
];

function unrunTogether(line: string): string[] {
  for (const pattern of RUN_TOGETHER) {
    const [, first, second] = line.match(pattern) ?? [];
    if (first !== undefined && second !== undefined) return [first, second];
  }
  return [line];
}

export function ourLines(log: readonly string[]): string[] {
  return log
    .filter((line) => line !== "")
    .map((line) =>
      tidy(
        line
          .replace(/map=\w+,/g, "")
          .replace(/r(\d+) = map\[\d+\]\S* ll/, "r$1 = MAP")
          // The kernel prints the distance as it stands in the instruction.
          .replace(/= func pc([+-]\d+) ll/, (_, distance) => `= 0x${(Number(distance) >>> 0).toString(16)}`),
      ),
    );
}

function tidy(line: string): string {
  return line
    .replace(/=P(?=[\ds(-])/g, "=")
    .replace(/\s+;(\s|$)/, " ; ")
    .replace(/( ;)?\s*$/, "");
}

/** The first line in which they differ, with both sides; null where they are one. */
export function firstDifference(kernel: readonly string[], ours: readonly string[]): string | null {
  const length = Math.max(kernel.length, ours.length);
  for (let i = 0; i < length; i++) {
    const line = kernel[i] ?? "";
    if (line === ours[i]) continue;
    return `line ${i}: the kernel has '${line}', we have '${ours[i] ?? ""}'`;
  }
  return null;
}
