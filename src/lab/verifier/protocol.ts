/** What the page and its worker say to each other. Everything crosses by structured clone. */
import type { AssemblyError } from "../../bpf/assembler.ts";
import type { ProgramType } from "../../bpf/program.ts";
import type { Verdict, VerifyOptions } from "../../bpf/verifier/verify.ts";
import type { RunResult, Seed } from "./run-program.ts";

export type Source =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "object"; readonly bytes: Uint8Array; readonly program: string };

export type Request =
  | { readonly kind: "open"; readonly bytes: Uint8Array; readonly type: ProgramType | null }
  | { readonly kind: "verify"; readonly source: Source; readonly options: VerifyOptions }
  | {
      readonly kind: "run";
      readonly source: Source;
      readonly packet: Uint8Array;
      readonly seeds: readonly Seed[];
    };

/** Programs of an object file, each as assembly text. */
export type Opened = {
  readonly kind: "opened";
  readonly programs: readonly { readonly name: string; readonly type: ProgramType; readonly text: string }[];
};
export type Verified = {
  readonly kind: "verified";
  readonly type: ProgramType;
  readonly verdict: Verdict;
  /** Line of the editor's text each slot stands on, from 1. */
  readonly lineOfSlot: readonly number[];
};
export type Ran = {
  readonly kind: "ran";
  readonly result: RunResult;
  readonly lineOfSlot: readonly number[];
};
export type Failed = {
  readonly kind: "failed";
  readonly message: string;
  /** Where the text cannot be read as assembly. */
  readonly errors: readonly AssemblyError[];
};
export type Reply = Opened | Verified | Ran | Failed;
