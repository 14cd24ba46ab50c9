/** What the packet helpers of xdp and skb share. */
import { ProgramFault } from "../fault.ts";
import type { Packet, Runtime } from "../runtime.ts";

export const ETHERNET_HEADER_BYTES = 14;

export function packetOf(rt: Runtime): Packet {
  if (!rt.packet) throw new ProgramFault("helper", "a packet helper was called in a run without a packet");
  return rt.packet;
}

/** An `anything` argument the kernel declares as u32. */
export function asU32(value: bigint): number {
  return Number(BigInt.asUintN(32, value));
}

/** An `anything` argument the kernel declares as int. */
export function asS32(value: bigint): number {
  return Number(BigInt.asIntN(32, value));
}

export function copyWithin(rt: Runtime, to: number, from: number, length: number): void {
  rt.memory.bytes.copyWithin(to, from, from + length);
}
