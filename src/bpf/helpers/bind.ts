/** How both engines reach a helper by its id. */
import type { Runtime } from "../runtime.ts";
import { helperById, parameterWires } from "./signatures.ts";
import { HELPER_TABLE } from "./table.ts";

export type BoundHelper = (...args: (number | bigint)[]) => number | bigint | undefined;

/**
 * The helper as an engine imports it: its runtime bound, exactly as many parameters as the row has
 * (wasm calls such a function without an adapter). Undefined for an unknown id, tail_call and loop.
 */
export function bindHelper(rt: Runtime, id: number): BoundHelper | undefined {
  const row = helperById(id);
  if (!row || row.name === "tail_call" || row.name === "loop") return undefined;
  const impl = HELPER_TABLE[row.name] as unknown as (
    rt: Runtime,
    ...args: (number | bigint)[]
  ) => number | bigint | undefined;
  switch (parameterWires(row).length) {
    case 0:
      return () => impl(rt);
    case 1:
      return (a) => impl(rt, a!);
    case 2:
      return (a, b) => impl(rt, a!, b!);
    case 3:
      return (a, b, c) => impl(rt, a!, b!, c!);
    case 4:
      return (a, b, c, d) => impl(rt, a!, b!, c!, d!);
    default:
      return (a, b, c, d, e) => impl(rt, a!, b!, c!, d!, e!);
  }
}
