/**
 * What the kernel asks of an engine (interpreter or JIT), and what it gets back. Both engines take the
 * same input; neither knows the other.
 */
import type { Slots } from "./codec.ts";
import type { BpfMap } from "./maps/map.ts";
import type { Runtime } from "./runtime.ts";

export { ENGINES, type EngineName, type Executable } from "./executable.ts";

/** Instructions one unverified run may execute: half a minute in the interpreter, under a second in the JIT. */
export const DEFAULT_BUDGET = 100_000_000;

export type CompileInput = {
  /** Passed the load checks: jumps and local calls land on instructions, no function falls off its end. */
  readonly slots: Slots;
  /** Entry slots of all functions (0, local call targets, callbacks), ascending. */
  readonly functions: readonly number[];
  /** Resolved: index as in wide loads' imm; `map.id` is what the program sees. */
  readonly maps: readonly BpfMap[];
  readonly rt: Runtime;
  /** Not verified: every access and helper argument goes through the memory guard, and the run has a budget. */
  readonly checked: boolean;
};

export { type Fault, type FaultKind, faultOf, ProgramFault } from "./fault.ts";
