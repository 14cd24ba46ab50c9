/**
 * The readable reference: RFC 9669 one instruction at a time, every access checked against what the program
 * was given, every run bounded. It can step and yield a trace. The stepping itself is stepper.ts.
 */
import { type CompileInput, DEFAULT_BUDGET, type Executable } from "./engine.ts";
import { type Instruction, wideValue } from "./isa.ts";
import { Run } from "./stepper.ts";

/** One executed instruction, as the lab shows it. */
export type TraceStep = {
  readonly slot: number;
  readonly insn: Instruction;
  /** Frames on the call chain, 1 for the entry function. */
  readonly depth: number;
  readonly before: readonly bigint[];
  readonly after: readonly bigint[];
  /** What the instruction itself stored; helpers' writes are not listed. */
  readonly writes: readonly MemoryWrite[];
};
export type MemoryWrite = { readonly address: number; readonly bytes: Uint8Array };

export class InterpretedProgram implements Executable {
  readonly engine = "interpreter";
  readonly tailEntry = null;
  readonly input: CompileInput;
  /** Sign-extended immediates, and the values of wide loads, by slot. */
  readonly constants: BigUint64Array;
  instructions = 0;
  readonly #budget: number;

  constructor(input: CompileInput, budget = DEFAULT_BUDGET) {
    this.input = input;
    this.#budget = budget;
    this.constants = new BigUint64Array(
      input.slots.map((insn, slot) => (insn ? constantOf(input, insn, slot) : 0n)),
    );
  }

  run(ctxAddress: number): number {
    return Number(BigInt.asIntN(32, this.run64(BigInt(ctxAddress), 0n)));
  }

  run64(r1: bigint, r2: bigint): bigint {
    const run = new Run(this, r1, r2);
    try {
      run.toEnd(this.#budget);
    } finally {
      this.instructions += run.executed;
    }
    return run.registers[0]!;
  }

  /** The same run, instruction by instruction. The generator throws ProgramFault where run() would. */
  *trace(r1: bigint, r2 = 0n): Generator<TraceStep, bigint> {
    const run = new Run(this, r1, r2);
    for (let count = 0; count < this.#budget && !run.ended; count++) {
      const { slot, insn, depth } = run.position();
      const before = Array.from(run.registers);
      const writes: MemoryWrite[] = [];
      run.onWrite = (address, bytes) =>
        writes.push({ address, bytes: this.input.rt.memory.bytes.slice(address, address + bytes) });
      run.step();
      this.instructions++;
      yield { slot, insn, depth, before, after: Array.from(run.registers), writes };
    }
    return run.registers[0]!;
  }
}

function constantOf(input: CompileInput, insn: Instruction, slot: number): bigint {
  if (insn.kind !== "wide") return "imm" in insn ? BigInt.asUintN(64, BigInt(insn.imm)) : 0n;
  switch (insn.pseudo) {
    case "map":
      return BigInt(input.maps[insn.imm]!.id);
    case "map_value":
      return BigInt((input.maps[insn.imm]!.values?.base ?? 0) + (insn.imm2 >>> 0));
    case "func":
      return BigInt(slot + 1 + insn.imm);
    default:
      return wideValue(insn);
  }
}
