/**
 * What the kernel asks of an engine (interpreter or JIT), and what it gets back. Both engines take the
 * same input; neither knows the other.
 */
import type { Slots } from "./codec.ts";
import type { BpfMap } from "./maps/map.ts";
import type { Runtime } from "./runtime.ts";

export const ENGINES = ["jit", "interpreter"] as const;
export type EngineName = (typeof ENGINES)[number];

/** Half-open range of addresses. */
export type Region = { readonly lo: number; readonly hi: number };

export type CompileInput = {
  /** Passed the load checks: jumps and local calls land on instructions, no function falls off its end. */
  readonly slots: Slots;
  /** Entry slots of all functions (0, local call targets, callbacks), ascending. */
  readonly functions: readonly number[];
  /** Resolved: index as in wide loads' imm; `map.id` is what the program sees. */
  readonly maps: readonly BpfMap[];
  readonly rt: Runtime;
  /** Null for verified programs; else the only memory a load, store or helper may touch. */
  readonly checked: readonly Region[] | null;
};

export interface Executable {
  readonly engine: EngineName;
  /** One run. @returns r0, its low 32 bits as a signed number. Throws on a fault. */
  run(ctxAddress: number): number;
  /** One run with two arguments and the whole of r0, as an unsigned bigint. Throws on a fault. */
  run64(r1: bigint, r2: bigint): bigint;
  /** Instructions executed since it was made, all runs together. */
  readonly instructions: number;
  /** A wasm function that a program array can hold; the interpreter needs none. */
  readonly tailEntry: (() => unknown) | null;
}

export type FaultKind = "memory" | "trap" | "frames" | "budget" | "call" | "helper";

/** Thrown inside a run, by an engine or a helper; the kernel turns it into a Fault. */
export class ProgramFault extends Error {
  readonly kind: FaultKind;
  readonly insn: number | null;

  constructor(kind: FaultKind, message: string, insn: number | null = null) {
    super(message);
    this.kind = kind;
    this.insn = insn;
  }
}

/** How a run went wrong. A verified program that has one found a bug in the verifier. */
export type Fault = { readonly kind: FaultKind; readonly insn: number | null; readonly message: string };

export function faultOf(error: unknown): Fault {
  if (error instanceof ProgramFault) {
    return { kind: error.kind, insn: error.insn, message: error.message };
  }
  const message = error instanceof Error ? error.message : String(error);
  // Out of the whole linear memory: wasm traps, a helper's DataView throws. Recursion ends in RangeError too.
  return { kind: "trap", insn: null, message };
}
