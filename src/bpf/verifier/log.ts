/**
 * The log of one verification, in the kernel's format. Level 1 keeps the path being walked and drops a
 * path that ended well; level 2 keeps everything. At level 0 there is no LogBook at all, so that the walk
 * pays one null test an instruction. Bounded: a run of a million instructions must not fill the memory.
 */

import { formatFrame, formatReferences, formatState } from "./format.ts";
import type { LineTable } from "./line-table.ts";
import { disassembleInsn } from "./log-insn.ts";
import type { Slot } from "./stack-slot.ts";
import type { State } from "./state.ts";
import type { Value } from "./value.ts";
import type { Walk } from "./walk.ts";

const LINE_LIMIT = 400_000;

export class LogBook {
  readonly level: 1 | 2;
  readonly lines: string[] = [];
  readonly #table: LineTable;
  #dropped = 0;
  #lastSource = "";
  #beforeRegs: Value[] = [];
  #beforeStack: Slot[] = [];
  #beforeFrame = -1;
  #pendingInsn = "";
  /** Log lengths at which waiting branches were put up: level 1 cuts back to them. */
  readonly #marks = new Map<State, number>();

  constructor(level: 1 | 2, table: LineTable) {
    this.level = level;
    this.#table = table;
  }

  add(line: string): void {
    if (this.lines.length < LINE_LIMIT) this.lines.push(line);
    else this.#dropped++;
  }

  start(w: Walk, name: string, isGlobal: boolean): void {
    if (isGlobal) this.add(`Validating ${name}() func#${w.frame.subprogram}...`);
    this.add(`${w.insn}${formatState(w.state)}`);
  }

  branch(state: State): void {
    this.#marks.set(state, this.lines.length);
  }

  resume(w: Walk): void {
    const kept = this.#marks.get(w.state);
    this.#marks.delete(w.state);
    if (this.level === 1 && kept !== undefined) this.lines.length = Math.min(kept, this.lines.length);
    this.#lastSource = "";
    this.add("");
    this.add(`from ${w.state.previous} to ${w.insn}${formatState(w.state)}`);
  }

  safe(w: Walk, from: number): void {
    if (this.level === 2) this.add(from >= 0 ? `from ${from} to ${w.insn}: safe` : `${w.insn}: safe`);
    else this.add(`${w.insn}: safe`);
  }

  /** Before an instruction: its text, and what it may change. */
  before(w: Walk): void {
    const source = this.#table.at(w.insn);
    const text = source ? `; ${source.text.trim()} @ ${baseName(source.file)}:${source.line}` : "";
    if (text && text !== this.#lastSource) this.add(text);
    this.#lastSource = text;
    this.#beforeRegs = w.frame.regs.slice();
    this.#beforeStack = w.frame.stack.slice();
    this.#beforeFrame = w.frame.index;
    this.#pendingInsn = `${w.insn}: ${disassembleInsn(w)}`;
  }

  /** After it: what changed. */
  after(w: Walk): void {
    const { frame } = w;
    let line = this.#pendingInsn;
    this.#pendingInsn = "";
    if (frame.index === this.#beforeFrame) {
      const regs: number[] = [];
      const slots: number[] = [];
      frame.regs.forEach((v, i) => {
        if (v !== this.#beforeRegs[i]) regs.push(i);
      });
      frame.stack.forEach((slot, i) => {
        if (slot !== this.#beforeStack[i]) slots.push(i);
      });
      const changed = formatFrame(frame, regs, slots);
      if (changed) line = `${line.padEnd(37)} ; ${changed}${formatReferences(w.state)}`;
      this.add(line);
      return;
    }
    this.add(line);
    this.add(frame.index > this.#beforeFrame ? "caller:" : "returning from callee:");
    for (const f of w.state.frames)
      this.add(` frame${f.index}: ${formatFrame(f, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [])}`);
  }

  /** The instruction that failed has no after. */
  flush(): void {
    if (this.#pendingInsn) this.add(this.#pendingInsn);
    this.#pendingInsn = "";
  }

  finish(): string[] {
    if (this.#dropped > 0) this.lines.push(`(${this.#dropped} more lines left out)`);
    return this.lines;
  }
}

function baseName(file: string): string {
  return file.slice(file.lastIndexOf("/") + 1);
}
