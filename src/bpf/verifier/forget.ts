/** What a call leaves behind unusable: r0-r5, and packet pointers where the packet may have moved. */
import { isOfPacket, UNINIT, UNKNOWN_VALUE, type Value } from "./value.ts";
import type { Walk } from "./walk.ts";

export function forgetCallerSaved(w: Walk): void {
  const { regs } = w.frame;
  for (let reg = 0; reg <= 5; reg++) regs[reg] = UNINIT;
}

/** Root may go on with the bits as a number; without privileges they are gone. */
export function invalidated(w: Walk): Value {
  return w.unprivileged ? UNINIT : UNKNOWN_VALUE;
}

export function forgetPackets(w: Walk): void {
  w.rewrite((v) => (isOfPacket(v.kind) ? invalidated(w) : v));
}
