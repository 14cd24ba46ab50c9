/** A program as an engine made it: ready to run. A leaf, because the runtime holds executables too. */
export const ENGINES = ["jit", "interpreter"] as const;
export type EngineName = (typeof ENGINES)[number];

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

/** A loaded program, as far as a program array needs it. */
export type TailTarget = { readonly id: number; readonly type: string; readonly executable: Executable };
