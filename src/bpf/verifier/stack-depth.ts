/** After the walk: does the stack of every call chain fit? Depths per function are known by then. */
import { MAX_FRAMES, STACK_BYTES } from "../isa.ts";
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
  const met = functions.map((): Reach[] => []);
  for (const root of roots) descend(w, root, 0, 1, [], met);
}

/** How a function was reached: bytes of stack and frames above and with it. */
type Reach = { readonly above: number; readonly frames: number };

/** @param met by function: a chain that is neither deeper nor longer than one before can find nothing new */
function descend(
  w: Walk,
  index: number,
  above: number,
  frames: number,
  chain: readonly number[],
  met: Reach[][],
): void {
  if (chain.includes(index)) return;
  if (met[index]!.some((before) => above <= before.above && frames <= before.frames)) return;
  met[index]!.push({ above, frames });
  // Counted in code that no path reaches, too.
  if (frames > MAX_FRAMES) reject("bad-call", `the call stack of ${frames - 1} frames is too deep !`);
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
  for (const { target } of f.calls) descend(w, target, total, frames + 1, [...chain, index], met);
}
