/** Socket-buffer helpers of tc, sk_skb and socket filters. Our buffers are linear: nothing to pull in. */
import { ERRNO } from "../maps/map.ts";
import type { Packet } from "../runtime.ts";
import type { HelperTable } from "./implementation.ts";
import { asU32, copyWithin, ETHERNET_HEADER_BYTES, packetOf } from "./packet.ts";

const RECOMPUTE_CSUM = 1n << 0n;
const INVALIDATE_HASH = 1n << 1n;
const HASH_FIELD_OFFSET = 68;
const INT_MAX = 0x7fff_ffff;
/** Linux SKB_MAX_ALLOC: four pages less skb_shared_info. */
const MAX_SKB_BYTES = 4 * 4096 - 320;

function length(packet: Packet): number {
  return packet.dataEnd - packet.data;
}

/** The network header must stay; on a TCP stream it is already behind the data. */
function minBytes(packet: Packet): number {
  return packet.type === "tc" ? ETHERNET_HEADER_BYTES : 0;
}

export const SKB_HELPERS = {
  skb_load_bytes: (rt, _ctx, offset, to, size) => {
    const packet = packetOf(rt);
    const [at, bytes, target] = [asU32(offset), size >>> 0, to >>> 0];
    if (at > INT_MAX || at + bytes > length(packet)) {
      // The verifier counts the buffer as written, so it is.
      rt.memory.bytes.fill(0, target, target + bytes);
      return -ERRNO.EFAULT;
    }
    copyWithin(rt, target, packet.data + at, bytes);
    return 0;
  },

  skb_store_bytes: (rt, _ctx, offset, from, size, flags) => {
    const packet = packetOf(rt);
    if ((flags & ~(RECOMPUTE_CSUM | INVALIDATE_HASH)) !== 0n) return -ERRNO.EINVAL;
    const [at, bytes] = [asU32(offset), size >>> 0];
    if (at > INT_MAX || at + bytes > length(packet)) return -ERRNO.EFAULT;
    copyWithin(rt, packet.data + at, from >>> 0, bytes);
    if ((flags & INVALIDATE_HASH) !== 0n) {
      rt.memory.view.setUint32(packet.ctxAddress + HASH_FIELD_OFFSET, 0, true);
    }
    return 0;
  },

  skb_change_tail: (rt, _ctx, newLength, flags) => {
    const packet = packetOf(rt);
    const bytes = asU32(newLength);
    if (flags !== 0n || bytes > MAX_SKB_BYTES || bytes < minBytes(packet)) return -ERRNO.EINVAL;
    const end = packet.data + bytes;
    if (end > packet.hardEnd) return -ERRNO.ENOMEM;
    if (end > packet.dataEnd) rt.memory.bytes.fill(0, packet.dataEnd, end);
    packet.dataEnd = end;
    packet.syncContext();
    return 0;
  },

  skb_change_head: (rt, _ctx, headRoom, flags) => {
    const packet = packetOf(rt);
    const by = asU32(headRoom);
    const bytes = length(packet);
    if (flags !== 0n || by > INT_MAX || bytes + by > MAX_SKB_BYTES) return -ERRNO.EINVAL;
    let data = packet.data - by;
    if (data < packet.hardStart) {
      // Linux reallocates; here the bytes move up, which no program can tell apart.
      data = packet.hardStart;
      if (data + by + bytes > packet.hardEnd) return -ERRNO.ENOMEM;
      copyWithin(rt, data + by, packet.data, bytes);
    }
    rt.memory.bytes.fill(0, data, data + by);
    packet.data = data;
    packet.dataMeta = data;
    packet.dataEnd = data + by + bytes;
    packet.syncContext();
    return 0;
  },

  skb_pull_data: (rt, _ctx, bytes) => {
    const packet = packetOf(rt);
    return asU32(bytes) > length(packet) ? -ERRNO.ENOMEM : 0;
  },
} satisfies Partial<HelperTable>;
