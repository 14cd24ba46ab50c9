/** Faults: what a run can die of. Thrown inside a run, a result outside it. */
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
