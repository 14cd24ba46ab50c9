/** Calls of kernel functions: known here, allowed now, and each argument as the prototype asks. */
import { ABSENT_KFUNC, kfuncById } from "../helpers/kfuncs.ts";
import { callIterator } from "./iterator.ts";
import type { Walk } from "./walk.ts";

export function stepKfunc(w: Walk, id: number): void {
  const kfunc = kfuncById(id);
  if (!kfunc) {
    const name = w.program.absentKfuncs?.[id - ABSENT_KFUNC] ?? `#${id}`;
    w.reject("unknown-kfunc", `kfunc '${name}' is referenced but wasn't resolved`);
  }
  if (!kfunc.types.includes(w.program.type)) {
    w.reject("unknown-kfunc", `calling kernel function ${kfunc.name} is not allowed`);
  }
  if (w.state.lock && !kfunc.underLock) {
    w.reject("spin-lock", "function calls are not allowed while holding a lock");
  }
  kfunc.args.forEach((kind, index) => {
    const reg = index + 1;
    if (kind === "s32" && w.frame.regs[reg]!.kind !== "scalar") {
      w.reject("helper-argument", `R${reg} is not a scalar`);
    }
  });
  callIterator(w, kfunc);
}
