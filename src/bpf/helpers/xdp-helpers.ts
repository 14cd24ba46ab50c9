/** XDP's packet helpers: move the edges of the buffer, copy in and out. Limits as Linux sets them. */
import { ERRNO } from "../maps/map.ts";
import type { Runtime } from "../runtime.ts";
import type { HelperTable } from "./implementation.ts";
import { asS32, asU32, copyWithin, ETHERNET_HEADER_BYTES, packetOf } from "./packet.ts";

/** Linux keeps a struct xdp_frame at the start of the headroom. */
const FRAME_HEADER_BYTES = 40;
/** Metadata length: a multiple of 4 that fits skb_shared_info's u8. */
const MAX_META_BYTES = 255;
const MAX_COPY = 0xffff;

/** @returns the address of `length` packet bytes at `offset`, or -errno */
function span(rt: Runtime, offset: bigint, length: number): number {
  const packet = packetOf(rt);
  const at = asU32(offset);
  if (at > MAX_COPY || length > MAX_COPY) return -ERRNO.EFAULT;
  return packet.data + at + length > packet.dataEnd ? -ERRNO.EINVAL : packet.data + at;
}

export const XDP_HELPERS = {
  xdp_adjust_head: (rt, _ctx, delta) => {
    const packet = packetOf(rt);
    const by = asS32(delta);
    const metaBytes = packet.data - packet.dataMeta;
    const data = packet.data + by;
    const lowest = packet.hardStart + FRAME_HEADER_BYTES + metaBytes;
    if (data < lowest || data > packet.dataEnd - ETHERNET_HEADER_BYTES) return -ERRNO.EINVAL;
    if (metaBytes > 0) copyWithin(rt, packet.dataMeta + by, packet.dataMeta, metaBytes);
    packet.dataMeta += by;
    packet.data = data;
    packet.syncContext();
    return 0;
  },

  xdp_adjust_meta: (rt, _ctx, delta) => {
    const packet = packetOf(rt);
    const meta = packet.dataMeta + asS32(delta);
    if (meta < packet.hardStart + FRAME_HEADER_BYTES || meta > packet.data) return -ERRNO.EINVAL;
    const metaBytes = packet.data - meta;
    if (metaBytes % 4 !== 0 || metaBytes > MAX_META_BYTES) return -ERRNO.EACCES;
    packet.dataMeta = meta;
    packet.syncContext();
    return 0;
  },

  xdp_adjust_tail: (rt, _ctx, delta) => {
    const packet = packetOf(rt);
    const end = packet.dataEnd + asS32(delta);
    if (end > packet.hardEnd || end < packet.data + ETHERNET_HEADER_BYTES) return -ERRNO.EINVAL;
    // What a program grows into must not show it older packets.
    if (end > packet.dataEnd) rt.memory.bytes.fill(0, packet.dataEnd, end);
    packet.dataEnd = end;
    packet.syncContext();
    return 0;
  },

  xdp_load_bytes: (rt, _ctx, offset, to, size) => {
    const at = span(rt, offset, size >>> 0);
    if (at < 0) return at;
    copyWithin(rt, to >>> 0, at, size >>> 0);
    return 0;
  },

  xdp_store_bytes: (rt, _ctx, offset, from, size) => {
    const at = span(rt, offset, size >>> 0);
    if (at < 0) return at;
    copyWithin(rt, at, from >>> 0, size >>> 0);
    return 0;
  },
} satisfies Partial<HelperTable>;
