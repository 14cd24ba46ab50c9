/** After the walk: does the stack of every call chain fit? Depths per function are known by then. */
import { STACK_BYTES } from "../isa.ts";
import { reject } from "./rules.ts";
import type { Walk } from "./walk.ts";

/** Linux with its JIT rounds each frame up to this. */
const FRAME_ALIGN = 16;
/** A caller of a function that tail-calls may use at most this. */
const TAIL_CALL_STACK = 256;

export function checkStackDepth(w: Walk): void {
  const { functions } = w.shape;
  const roots = functions
    .map((_, index) => index)
    .filter((i) => i === 0 || functions[i]!.isGlobal || functions[i]!.isCallback);
  const deepest = new Int32Array(functions.length).fill(-1);
  for (const root of roots) descend(w, root, 0, 1, [], deepest);
}

/** @param deepest most stack above each function so far: a shallower chain can find nothing new */
function descend(
  w: Walk,
  index: number,
  above: number,
  frames: number,
  chain: readonly number[],
  deepest: Int32Array,
): void {
  if (chain.includes(index) || above <= deepest[index]!) return;
  deepest[index] = above;
  const f = w.shape.functions[index]!;
  if (f.hasTailCall && above >= TAIL_CALL_STACK) {
    reject(
      "tail-call",
      `tail_calls are not allowed when call stack of previous frames is ${above} bytes. Too large`,
    );
  }
  const own = Math.ceil(w.stackDepth[index]! / FRAME_ALIGN) * FRAME_ALIGN;
  const total = above + own;
  if (total > STACK_BYTES) {
    reject("stack-overflow", `combined stack size of ${frames} calls is ${total}. Too large`);
  }
  for (const { target } of f.calls) descend(w, target, total, frames + 1, [...chain, index], deepest);
}
