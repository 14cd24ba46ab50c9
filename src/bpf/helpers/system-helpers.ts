/** Clock, CPU, randomness and the spin lock. */
import { ProgramFault } from "../fault.ts";
import type { HelperTable } from "./implementation.ts";

export const SYSTEM_HELPERS = {
  ktime_get_ns: (rt) => rt.clockNs(),
  get_prandom_u32: (rt) => rt.random() >>> 0,
  get_smp_processor_id: (rt) => rt.cpu,
  spin_lock: (rt, lock) => {
    if (rt.heldLock !== 0) throw new ProgramFault("helper", "spin_lock: the program already holds a lock");
    rt.lock(lock >>> 0);
  },
  spin_unlock: (rt, lock) => rt.unlock(lock >>> 0),
} satisfies Partial<HelperTable>;
