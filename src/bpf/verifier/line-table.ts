/** From instructions to the C lines they came from (.BTF.ext line info): a record covers what follows it. */
import type { LineInfo } from "../program.ts";

export class LineTable {
  readonly #records: readonly LineInfo[];

  constructor(records: readonly LineInfo[]) {
    this.#records = [...records].sort((a, b) => a.insn - b.insn);
  }

  at(insn: number): LineInfo | null {
    let low = 0;
    let high = this.#records.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#records[middle]!.insn <= insn) low = middle + 1;
      else high = middle;
    }
    return this.#records[low - 1] ?? null;
  }
}
