/**
 * The type of a helper's implementation. Arguments come in the wire types of signatures.ts: an i32 is a number
 * that may be negative (pointers: `>>> 0`), an i64 a bigint; results go back by the row's `wire`.
 * tail_call and loop are control flow and so the engines' own.
 */
import type { Runtime } from "../runtime.ts";
import type { ArgKind, HELPERS } from "./signatures.ts";

type Row = (typeof HELPERS)[number];
type WireArg<K extends ArgKind> = K extends "anything" ? bigint : number;
type WireArgs<A extends readonly ArgKind[]> = { [I in keyof A]: WireArg<A[I]> };
type Extra<R> = R extends { extraArgs: 3 } ? [bigint, bigint, bigint] : [];
type WireResult = { i32: number; u32: number; i64: bigint };

export type EngineHelper = "tail_call" | "loop";

/** One function a row, its parameters typed by the row's argument kinds. */
export type HelperTable = {
  readonly [R in Row as Exclude<R["name"], EngineHelper>]: (
    rt: Runtime,
    ...args: [...WireArgs<R["args"]>, ...Extra<R>]
  ) => R["ret"] extends "void" ? void : WireResult[R["wire"]];
};
