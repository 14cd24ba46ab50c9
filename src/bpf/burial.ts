/**
 * What becomes of the locks of a CPU whose thread has gone. To be called by a kernel over the same memory, once
 * that thread runs no more. Maps whose own lock it held are made whole; the bpf_spin_lock it held is
 * returned to the caller, who knows what the value under it means, and frees it when the value is fit to be seen.
 */
import type { Kernel } from "./kernel.ts";
import { STATE, STATE_BYTES, STATE_NAME } from "./runtime.ts";

export type Estate = {
  /** Address of the bpf_spin_lock it held, 0 for none: still held. */
  readonly spinLock: number;
  /** Maps that were being changed, and are whole again. */
  readonly repaired: readonly string[];
};

/** @param cpu the one that has gone */
export function bury(kernel: Kernel, cpu: number): Estate {
  const { memory, locks } = kernel.rt;
  const { directory } = memory;
  if (directory === null || locks === null) return { spinLock: 0, repaired: [] };
  directory.release(cpu + 1);
  const state = memory.find(cpu + 1, STATE_BYTES, STATE_NAME);
  if (state === 0) return { spinLock: 0, repaired: [] };
  const held = (word: number): number => {
    const lock = memory.words[(state + word) >> 2]! >>> 0;
    return lock !== 0 && locks.isHeldBy(lock, cpu) ? lock : 0;
  };
  const repaired: string[] = [];
  const mapLock = held(STATE.heldMapLock);
  if (mapLock !== 0) {
    for (const map of kernel.maps) if (map.recover?.(mapLock) === true) repaired.push(map.def.name);
    locks.bury(mapLock, cpu);
  }
  return { spinLock: held(STATE.heldLock), repaired };
}
