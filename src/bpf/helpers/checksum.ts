/**
 * The Internet checksum (RFC 1071, RFC 1624) on words as they lie in memory, read little-endian: one's
 * complement sums come out right in either byte order.
 */
import { ERRNO } from "../maps/map.ts";
import type { Runtime } from "../runtime.ts";
import type { HelperTable } from "./implementation.ts";
import { packetOf } from "./packet.ts";

/** Flags of l3/l4_csum_replace (Linux UAPI). */
const HDR_FIELD_MASK = 0xfn;
const PSEUDO_HDR = 1n << 4n;
const MARK_MANGLED_0 = 1n << 5n;
const MARK_ENFORCE = 1n << 6n;
const IPV6 = 1n << 7n;
const L4_FLAGS = HDR_FIELD_MASK | PSEUDO_HDR | MARK_MANGLED_0 | MARK_ENFORCE | IPV6;
/** What UDP sends for a computed 0, because 0 says "no checksum" (RFC 768). */
const MANGLED_0 = 0xffff;
const MAX_OFFSET = 0xffff;

/** One's complement sum of two 32-bit words: the carry comes round. */
function add32(a: number, b: number): number {
  const sum = (a >>> 0) + (b >>> 0);
  return (sum > 0xffff_ffff ? sum - 0xffff_ffff : sum) >>> 0;
}

function fold16(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}

/** A tail shorter than a word counts as if zeros followed it. */
function sumWords(view: DataView, at: number, bytes: number, seed: number): number {
  let sum = seed >>> 0;
  let i = 0;
  for (; i + 4 <= bytes; i += 4) sum = add32(sum, view.getUint32(at + i, true));
  let tail = 0;
  for (let shift = 0; i < bytes; i++, shift += 8) tail |= view.getUint8(at + i) << shift;
  return add32(sum, tail);
}

/** New checksum after `diff` was added to what it covers (RFC 1624 eqn. 3). */
function replaceByDiff(checksum: number, diff: number): number {
  return ~fold16(add32(diff, ~checksum & 0xffff)) & 0xffff;
}

function replace4(checksum: number, from: number, to: number): number {
  return ~fold16(add32(add32(~checksum & 0xffff, ~from), to)) & 0xffff;
}

function replace2(checksum: number, from: number, to: number): number {
  return ~fold16((~checksum & 0xffff) + (~from & 0xffff) + (to & 0xffff)) & 0xffff;
}

function low32(value: bigint): number {
  return Number(BigInt.asUintN(32, value));
}

/** @returns the updated checksum, or null when the flags ask for a size other than 0, 2 or 4 */
function updated(checksum: number, from: bigint, to: bigint, flags: bigint): number | null {
  switch (flags & HDR_FIELD_MASK) {
    case 0n:
      // Size 0: `to` is a difference that csum_diff computed, and `from` must not be given.
      return from === 0n ? replaceByDiff(checksum, low32(to)) : null;
    case 2n:
      return replace2(checksum, low32(from) & 0xffff, low32(to) & 0xffff);
    case 4n:
      return replace4(checksum, low32(from), low32(to));
    default:
      return null;
  }
}

/** @returns address of the checksum field, or 0 when it is odd, far out or past the end */
function fieldAt(rt: Runtime, offset: bigint): number {
  const at = low32(offset);
  const packet = packetOf(rt);
  if (at > MAX_OFFSET || at % 2 !== 0 || packet.data + at + 2 > packet.dataEnd) return 0;
  return packet.data + at;
}

export const CHECKSUM_HELPERS = {
  csum_diff: (rt, from, fromSize, to, toSize, seed) => {
    // The manual wants multiples of 4; Linux 6.18 takes any size, and so do we.
    const fromBytes = fromSize >>> 0;
    const toBytes = toSize >>> 0;
    const { view } = rt.memory;
    let sum = low32(seed);
    if (toBytes) sum = sumWords(view, to >>> 0, toBytes, sum);
    if (fromBytes && toBytes) sum = add32(sum, ~sumWords(view, from >>> 0, fromBytes, 0));
    else if (fromBytes) sum = ~sumWords(view, from >>> 0, fromBytes, ~sum) >>> 0;
    return BigInt(fold16(sum));
  },

  l3_csum_replace: (rt, _ctx, offset, from, to, flags) => {
    if ((flags & ~HDR_FIELD_MASK) !== 0n) return -ERRNO.EINVAL;
    const at = fieldAt(rt, offset);
    if (at === 0) return -ERRNO.EFAULT;
    const { view } = rt.memory;
    const next = updated(view.getUint16(at, true), from, to, flags);
    if (next === null) return -ERRNO.EINVAL;
    view.setUint16(at, next, true);
    return 0;
  },

  l4_csum_replace: (rt, _ctx, offset, from, to, flags) => {
    if ((flags & ~L4_FLAGS) !== 0n) return -ERRNO.EINVAL;
    const at = fieldAt(rt, offset);
    if (at === 0) return -ERRNO.EFAULT;
    const { view } = rt.memory;
    const old = view.getUint16(at, true);
    const keepsZero = (flags & MARK_MANGLED_0) !== 0n;
    if (keepsZero && (flags & MARK_ENFORCE) === 0n && old === 0) return 0;
    // PSEUDO_HDR only matters where a device still has to finish the sum; packets here have theirs.
    const next = updated(old, from, to, flags);
    if (next === null) return -ERRNO.EINVAL;
    view.setUint16(at, keepsZero && next === 0 ? MANGLED_0 : next, true);
    return 0;
  },
} satisfies Partial<HelperTable>;
