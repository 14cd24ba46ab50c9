/**
 * One row of the vector suite: a program as text, what it is given, what must come out. Expectations are
 * written by hand from RFC 9669; interpreter, JIT and (where bpf() is permitted) Linux are held to them.
 */
import type { ConformanceGroup } from "../../../src/bpf/isa.ts";

export type Vector = {
  readonly name: string;
  readonly group: ConformanceGroup | "callx" | "linux";
  readonly text: string;
  /** Hex; r1 points at it. */
  readonly memory?: string;
  /** r0 at the exit; `fault` when the run must fail cleanly. */
  readonly r0: bigint | "fault";
  /** Hex; default: as it was. */
  readonly memoryAfter?: string;
  /** Why Linux cannot judge this one. */
  readonly notLinux?: string;
};

/** A wide load that sets a register to any 64-bit value. */
export function set(register: string, value: bigint): string {
  return `${register} = 0x${BigInt.asUintN(64, value).toString(16)} ll`;
}

export function program(...lines: string[]): string {
  return [...lines, "exit"].join("\n");
}
