/**
 * What the kernel asks of an engine (interpreter or JIT), and what it gets back. Both engines take the
 * same input; neither knows the other.
 */
import type { Slots } from "./codec.ts";
import type { BpfMap } from "./maps/map.ts";
import type { Runtime } from "./runtime.ts";

export { ENGINES, type EngineName, type Executable } from "./executable.ts";

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

export { type Fault, type FaultKind, faultOf, ProgramFault } from "./fault.ts";
