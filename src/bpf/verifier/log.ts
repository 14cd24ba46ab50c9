/**
 * The log of one verification, in the kernel's format. Level 1 keeps the path being walked and drops a
 * path that ended well; level 2 keeps everything. At level 0 there is no LogBook at all, so that the walk
 * pays one null test an instruction. Bounded: a run of a million instructions must not fill the memory.
 *
 * As in Linux, an instruction's line shows the registers it names and the stack slots it touches, and
 * shows them when the next instruction begins, so that a path that ends shows nothing more; only a
 * conditional jump shows them at once.
 */

import { registerEffects } from "./control-flow.ts";
import { formatFrame, formatHeld, formatState, formatWholeFrame } from "./format.ts";
import type { LineTable } from "./line-table.ts";
import { disassembleInsn } from "./log-insn.ts";
import { SLOT_INVALID } from "./stack-slot.ts";
import type { Frame, State } from "./state.ts";
import type { Walk } from "./walk.ts";

const LINE_LIMIT = 400_000;
/** Column at which the state after an instruction begins. */
const STATE_COLUMN = 37;

export class LogBook {
  readonly level: 1 | 2;
  readonly lines: string[] = [];
  readonly #table: LineTable;
  #dropped = 0;
  #lastSource = "";
  /** Slots the current instruction reads or writes. */
  readonly #touched = new Set<number>();
  #frameBefore = 0;
  /** State to show once the path goes on. */
  #result = "";
  /** The next line shows the whole state first: a new path or a new frame. */
  #wholeState = false;
  /** The path did not come here by the line above. */
  #resumed = false;
  /** The current instruction's line shows everything in the frame. */
  #wholeResult = false;
  /** Another line follows the instruction's: what it left needs one of its own. */
  #isApart = false;
  readonly #closing: string[] = [];
  /** The current instruction's line as it was before what it left was known, and the length of the log with it. */
  #bare = { line: "", length: 0 };
  /** Where waiting branches were put up: level 1 cuts back to there. */
  readonly #marks = new Map<State, { readonly line: string; readonly length: number }>();

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
    this.#result = "";
    this.#wholeState = true;
  }

  branch(state: State): void {
    this.#marks.set(state, this.#bare);
  }

  /** Another path is taken up, where it waited. */
  resume(w: Walk): void {
    const kept = this.#marks.get(w.state);
    this.#marks.delete(w.state);
    this.#lastSource = "";
    this.#result = "";
    this.#wholeState = true;
    this.#resumed = true;
    if (this.level === 1 && kept !== undefined && kept.length <= this.lines.length) {
      this.lines.length = kept.length;
      this.lines[kept.length - 1] = kept.line;
    }
  }

  /** Every path of a function ended well. */
  ended(): void {
    if (this.level === 1) this.lines.length = 0;
  }

  /** The path is as safe as one walked before. */
  safe(w: Walk): void {
    this.#result = "";
    if (this.#resumed) {
      this.add("");
      this.add(`from ${w.state.previous} to ${w.insn}: safe`);
    } else this.add(`${w.insn}: safe`);
    this.#resumed = false;
  }

  /** A global function is believed, not entered. @param index of the function */
  assumed(index: number, name: string): void {
    this.#setApart(`Func#${index} ('${name}') is global and assumed valid.`);
  }

  /** A bpf_loop called from this frame has gone round as often as it may. */
  loopDone(frame: number): void {
    if (this.level === 2) this.#setApart(`frame${frame} bpf_loop iteration limit reached`);
  }

  #setApart(line: string): void {
    this.add(line);
    this.#isApart = true;
  }

  /** A path into a callback was put up: to Linux that touches the whole state. */
  calledBack(): void {
    this.#wholeResult = true;
  }

  /** @param index of a global function, walked to its end by itself */
  proved(index: number, name: string): void {
    this.add(`Func#${index} ('${name}') is safe for any args that match its prototype`);
  }

  /** The current instruction reads or writes this slot of the stack. */
  touch(slot: number): void {
    this.#touched.add(slot);
  }

  /** Before an instruction: what the last one left, and the text of this one. */
  before(w: Walk): void {
    if (this.#resumed && this.level === 2) {
      this.add("");
      this.add(`from ${w.state.previous} to ${w.insn}${formatState(w.state)}`);
    }
    this.#resumed = false;
    if (this.#wholeState) this.add(`${w.insn}${formatState(w.state)}`);
    else this.#showResult(w.insn);
    this.#wholeState = false;
    this.#isApart = false;
    const source = this.#table.at(w.insn);
    const text = source ? `; ${source.text.trim()} @ ${baseName(source.file)}:${source.line}` : "";
    if (text && text !== this.#lastSource) this.add(text);
    this.#lastSource = text;
    this.#touched.clear();
    this.#frameBefore = w.frame.index;
    const line = `${w.insn}: ${disassembleInsn(w)}`;
    this.add(line);
    this.#bare = { line, length: this.lines.length };
  }

  after(w: Walk): void {
    const { frame } = w;
    if (frame.index > this.#frameBefore) {
      this.#frames(w, "caller:", w.state.frames[this.#frameBefore]!, "callee:", frame);
      this.#wholeState = true;
      return;
    }
    if (frame.index < this.#frameBefore) return;
    const regs = named(w);
    // Slots of another frame show the one of the same number in this frame, as in Linux.
    const slots = [...this.#touched].filter((slot) => frame.slot(slot) !== SLOT_INVALID);
    slots.sort((a, b) => a - b);
    // What touches nothing, a goto, shows nothing.
    if (regs.length === 0 && slots.length === 0) return;
    this.#result = this.#changes(w, regs, slots);
    this.#wholeResult = false;
    if (w.instruction().kind === "branch") this.#showResult(w.insn);
  }

  #changes(w: Walk, regs: readonly number[], slots: readonly number[]): string {
    const { frame } = w;
    const changed = this.#wholeResult ? formatWholeFrame(frame) : formatFrame(frame, regs, slots);
    const where = frame.index > 0 ? `frame${frame.index}:${changed && " "}` : "";
    return `${where}${changed}${formatHeld(w.state, frame)}`.trim();
  }

  /**
   * A function goes back to its caller. Where it does so early, it is without taking up another path, and the
   * caller's registers that the instruction names are shown.
   */
  returned(w: Walk, callee: Frame, to: number, early = false): void {
    this.#result = "";
    this.#frames(w, "returning from callee:", callee, `to caller at ${to}:`, w.frame);
    if (early) {
      this.#result = this.#changes(w, named(w), []);
      this.#isApart = true;
    } else this.#resumed = true;
  }

  /** The loop came round without a change: both states, below the message. */
  endless(w: Walk, old: State): void {
    this.#closing.push(`cur state${formatState(w.state)}`, `old state${formatState(old)}`);
  }

  /** Lines that stand below the message of a rejection. */
  closing(): readonly string[] {
    return this.#closing;
  }

  #frames(w: Walk, from: string, left: Frame, to: string, entered: Frame): void {
    for (const [words, frame] of [
      [from, left],
      [to, entered],
    ] as const) {
      const where = frame.index > 0 ? ` frame${frame.index}:` : "";
      this.add(words);
      this.add(`${where} ${formatWholeFrame(frame)}${formatHeld(w.state, frame)}`);
    }
  }

  /** @param next the instruction that follows */
  #showResult(next: number): void {
    if (this.#result === "") return;
    const last = this.lines.length - 1;
    if (this.#isApart) this.add(`${next}: ${this.#result}`);
    else this.lines[last] = `${this.lines[last]!.padEnd(STATE_COLUMN)} ; ${this.#result}`;
    this.#result = "";
  }

  finish(): string[] {
    if (this.#dropped > 0) this.lines.push(`(${this.#dropped} more lines left out)`);
    return this.lines;
  }
}

function baseName(file: string): string {
  return file.slice(file.lastIndexOf("/") + 1);
}

/** Registers the current instruction reads or writes. */
function named(w: Walk): number[] {
  const { uses, defines } = registerEffects(w.instruction());
  return w.frame.regs.flatMap((_, reg) => ((((uses | defines) >>> reg) & 1) === 1 ? [reg] : []));
}
