/** Clock, CPU, randomness and the spin lock. Programs run on one thread: a lock is never contended. */
import { ProgramFault } from "../fault.ts";
import type { HelperTable } from "./implementation.ts";

export const SYSTEM_HELPERS = {
  ktime_get_ns: (rt) => rt.clockNs(),
  get_prandom_u32: (rt) => rt.random() >>> 0,
  get_smp_processor_id: (rt) => rt.cpu,
  spin_lock: (rt, lock) => {
    const at = lock >>> 0;
    if (rt.heldLock !== 0) throw new ProgramFault("helper", "spin_lock: the program already holds a lock");
    rt.memory.view.setUint32(at, 1, true);
    rt.heldLock = at;
  },
  spin_unlock: (rt, lock) => {
    rt.memory.view.setUint32(lock >>> 0, 0, true);
    rt.heldLock = 0;
  },
} satisfies Partial<HelperTable>;
