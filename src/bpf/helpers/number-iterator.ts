/**
 * The open-coded number iterator, as Linux runs it: its 8 bytes lie in the program's own stack, the current
 * number (inclusive) then the end (exclusive), both s32. Every end leaves zeros, from which `next` is NULL.
 */
import { MAX_LOOPS } from "../isa.ts";
import { ERRNO } from "../maps/map.ts";
import type { Runtime } from "../runtime.ts";
import { type KfuncName, kfuncById } from "./kfuncs.ts";

export const END_OFFSET = 4;

type Kfunc = (rt: Runtime, ...args: number[]) => number | undefined;

const KFUNC_TABLE: Readonly<Record<KfuncName, Kfunc>> = {
  bpf_iter_num_new: ({ memory: { view } }, address = 0, start = 0, end = 0) => {
    const at = address >>> 0;
    const errno = start > end ? ERRNO.EINVAL : end - start > MAX_LOOPS ? ERRNO.E2BIG : 0;
    // `next` adds one first; at the least number this wraps, and wraps back.
    view.setInt32(at, errno === 0 ? (start - 1) | 0 : 0, true);
    view.setInt32(at + END_OFFSET, errno === 0 ? end : 0, true);
    return -errno;
  },
  bpf_iter_num_next: ({ memory: { view } }, address = 0) => {
    const at = address >>> 0;
    const next = (view.getInt32(at, true) + 1) | 0;
    if (next >= view.getInt32(at + END_OFFSET, true)) {
      view.setBigUint64(at, 0n, true);
      return 0;
    }
    view.setInt32(at, next, true);
    return at;
  },
  bpf_iter_num_destroy: ({ memory: { view } }, address = 0) => {
    view.setBigUint64(address >>> 0, 0n, true);
    return undefined;
  },
};

export type BoundKfunc = (...args: number[]) => number | undefined;

/** The function as an engine calls it: i32 arguments, the result by the row's `wire`. */
export function bindKfunc(rt: Runtime, id: number): BoundKfunc | undefined {
  const row = kfuncById(id);
  if (!row) return undefined;
  const impl = KFUNC_TABLE[row.name];
  return row.args.length === 1 ? (a) => impl(rt, a!) : (a, b, c) => impl(rt, a!, b!, c!);
}
