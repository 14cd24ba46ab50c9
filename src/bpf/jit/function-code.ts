/**
 * One wasm function under construction: where the registers live, how an address becomes one, how executed
 * instructions are counted. Every function, program and subprogram alike, has the type
 * (r1..r5: i64, frame: i32) -> r0: i64; `frame` is the lowest address of its 512 bytes of stack, so that
 * r10 - n is a constant non-negative offset from it.
 */
import type { CompileInput } from "../engine.ts";
import type { FaultKind } from "../fault.ts";
import { FRAME_POINTER, type Reg, STACK_BYTES } from "../isa.ts";
import { STATE } from "../runtime.ts";
import type { Imports } from "./imports.ts";
import { Code, type FunctionType, type ValueType } from "./wasm.ts";

export const FUNCTION_TYPE: FunctionType = {
  params: ["i64", "i64", "i64", "i64", "i64", "i32"],
  results: ["i64"],
};

/** Wasm locals: the parameters come first. */
export const LOCAL = {
  frame: 5,
  r0: 6,
  r6: 7,
  r10: 11,
  /** Scratch, live within one instruction. */
  wide: 12,
  address: 13,
  word: 14,
  /** Instructions executed since the function was entered, as counting.ts has it. */
  count: 15,
  /** Next block, in a dispatch loop. */
  next: 16,
  /** Rounds left to the function's may_gotos; only where it has some. */
  rounds: 17,
} as const;
export const LOCAL_TYPES: readonly ValueType[] = [
  ...new Array<ValueType>(7).fill("i64"), // r0, r6..r10, wide
  ...new Array<ValueType>(4).fill("i32"),
];

export function localOf(register: Reg): number {
  if (register === 0) return LOCAL.r0;
  return register <= 5 ? register - 1 : LOCAL.r6 + (register - 6);
}

export type CodeOptions = {
  /** Count executed instructions? Checked code always does. */
  readonly counts: boolean;
  /** Has the host wasm tail calls? */
  readonly tailCalls: boolean;
  /** Instructions one checked run may execute. */
  readonly budget: number;
};

export class FunctionCode extends Code {
  readonly input: CompileInput;
  readonly imports: Imports;
  readonly options: CodeOptions;
  readonly isChecked: boolean;
  /** Positions of padded operands that name a function of this module, to be filled in at the end. */
  readonly functionRefs: { readonly at: number; readonly entry: number }[] = [];

  /** Has it may_gotos, and so one local more? */
  hasRounds = false;

  /** What the local count lacks when the function is left in the block being written (counting.ts). */
  countWhenLeaving = 0;

  constructor(input: CompileInput, imports: Imports, options: CodeOptions) {
    super();
    this.input = input;
    this.imports = imports;
    this.options = options;
    this.isChecked = input.checked;
  }

  get(register: Reg): this {
    return this.op("local.get", localOf(register));
  }

  set(register: Reg): this {
    return this.op("local.set", localOf(register));
  }

  /** Pushes the low half of a register. */
  low(register: Reg): this {
    return this.get(register).op("i32.wrap_i64");
  }

  /** Pops an i32 into a register: a 32-bit result zeroes the upper half (RFC 9669 §4.1). */
  setLow(register: Reg): this {
    return this.op("i64.extend_i32_u").set(register);
  }

  /**
   * Pushes the address `register + off` as an i32. @returns the constant offset that the memory
   * instruction must still add.
   */
  address(register: Reg, off: number, bytes: number, access: "read" | "write", slot: number): number {
    if (this.isChecked) {
      this.#checkedAddress(register, off, bytes, access, slot);
      return 0;
    }
    // A verified program never writes r10, and reaches at most 512 bytes below it.
    if (register === FRAME_POINTER) {
      this.op("local.get", LOCAL.frame);
      return STACK_BYTES + off;
    }
    this.low(register);
    // Wasm adds its offset without wrapping: fine when the base is an address, wrong for a negative one.
    if (off >= 0) return off;
    this.op("i32.const", off).op("i32.add");
    return 0;
  }

  /** The stack is tested in place; anything else asks the guard, which throws. */
  #checkedAddress(register: Reg, off: number, bytes: number, access: "read" | "write", slot: number): void {
    const { stackTop } = this.input.rt;
    this.get(register).op("i64.const", BigInt(off)).op("i64.add").op("local.tee", LOCAL.wide);
    this.op("local.get", LOCAL.frame).op("i64.extend_i32_u").op("i64.sub");
    this.op("i64.const", BigInt(stackTop - bytes));
    this.op("local.get", LOCAL.frame).op("i64.extend_i32_u").op("i64.sub");
    this.op("i64.gt_u").op("if");
    this.op("local.get", LOCAL.wide).op("i32.wrap_i64");
    this.op("local.get", LOCAL.wide).op("i64.const", 32n).op("i64.shr_u").op("i32.wrap_i64");
    this.op("i32.const", bytes).op("i32.const", slot).op("local.get", LOCAL.frame);
    this.op("call", this.imports.guard(access)).op("end");
    this.op("local.get", LOCAL.wide).op("i32.wrap_i64");
  }

  /** Pushes a word of the machine's state. */
  loadState(word: keyof typeof STATE): this {
    return this.op("i32.const", 0).op("i32.load", this.#stateOffset(word));
  }

  /** Stores what `push` pushes into a word of the machine's state. */
  storeState(word: keyof typeof STATE, push: () => void): this {
    this.op("i32.const", 0);
    push();
    return this.op("i32.store", this.#stateOffset(word));
  }

  #stateOffset(word: keyof typeof STATE): number {
    return this.input.rt.stateAddress + STATE[word];
  }

  /** Ends the run. Never returns at run time, which wasm must be told. */
  fault(kind: FaultKind, slot: number): this {
    return this.op("i32.const", this.imports.faultCode(kind))
      .op("i32.const", slot)
      .op("call", this.imports.fault())
      .op("unreachable");
  }

  /** `call` of a function of this module by its entry slot. */
  callFunction(entry: number): this {
    this.byte(0x10);
    this.functionRefs.push({ at: this.bytes.length, entry });
    return this.append([0x80, 0x80, 0x80, 0x80, 0x00]);
  }

  /** Checked code: at the start of a basic block of so many instructions. */
  chargeBudget(instructions: number, slot: number): void {
    this.storeState("instructions", () => {
      this.loadState("instructions").op("i32.const", instructions).op("i32.add");
      this.op("local.tee", LOCAL.word);
    });
    this.op("local.get", LOCAL.word).op("i32.const", this.options.budget).op("i32.gt_u").op("if");
    this.fault("budget", slot).op("end");
  }

  /** Does this code count in a local, as unchecked code that counts does? */
  get countsLocally(): boolean {
    return this.options.counts && !this.isChecked;
  }

  addCount(instructions: number): this {
    if (instructions === 0 || !this.countsLocally) return this;
    this.op("local.get", LOCAL.count).op("i32.const", instructions).op("i32.add");
    return this.op("local.set", LOCAL.count);
  }

  /** Writes the count down where the whole run is summed up. */
  flushCount(): this {
    if (!this.countsLocally) return this;
    return this.storeState("instructions", () => {
      this.loadState("instructions").op("local.get", LOCAL.count).op("i32.add");
      this.op("i32.const", this.countWhenLeaving).op("i32.add");
    });
  }

  /** Leaves the function with r0. */
  returnResult(): this {
    return this.flushCount().get(0).op("return");
  }
}
