/**
 * From a profile and the shape of a request to simulated work: what runs in softirq, what in userspace.
 * The program's instruction counts follow BMC's published static sizes (CH table: rx_filter 87, hash_keys
 * 142, prepare_packet 178, write_reply 330 instructions) and its loops over the key:
 * - hit: the four programs once through, less the branches not taken, and per key byte one turn of the
 *   hash loop (7 instructions) and one of the compare loop (6)
 * - miss: rx_filter and hash_keys only
 * Check, not fit: a 128 B key and 64 B value come to 0.91 us on the paper's machine; its tail-call
 * experiment measures 0.88-0.93 us (DEM Table 5: 1.07-1.14 M req/s).
 */
import { type RequestFacts, requestFacts } from "../costs/facts.ts";
import { costNs } from "../costs/ledger.ts";
import type { Profile } from "../costs/profile.ts";
import type { PathSpec } from "./machine.ts";

export type Shape = { readonly keyBytes: number; readonly valueBytes: number };

/** Protocol bytes around key and value of a reply: `VALUE `, flags, length, line ends, `END`. */
export const REPLY_OVERHEAD = 26;
/** `get `, line end, and memcached's 8-byte UDP frame. */
export const REQUEST_OVERHEAD = 14;

const HIT_FIXED = 475;
const MISS_FIXED = 190;
const HASH_PER_BYTE = 7;
const COMPARE_PER_BYTE = 6;
const TAIL_CALLS_HIT = 3;
const TAIL_CALLS_MISS = 1;
/** Softirq carries a packet up to the socket; SK_SKB's reach is that point (DEM Table 1). */
export const SOCKET_REACH_NS = 1072;

export const replyBytes = ({ keyBytes, valueBytes }: Shape): number => keyBytes + valueBytes + REPLY_OVERHEAD;
const requestBytes = ({ keyBytes }: Shape): number => keyBytes + REQUEST_OVERHEAD;

/** A request answered at the hook. */
export function hitFacts(shape: Shape): RequestFacts {
  return requestFacts({
    path: "hot",
    packets: 1,
    hookRuns: 1,
    instructions: HIT_FIXED + (HASH_PER_BYTE + COMPARE_PER_BYTE) * shape.keyBytes,
    arrayLookups: 1,
    helperCalls: 4,
    tailCalls: TAIL_CALLS_HIT,
    locks: 1,
    ebpfBytes: replyBytes(shape),
    hookReplies: 1,
  });
}

/** What a request pays at the hook before it is passed up. */
export function lookFacts(shape: Shape): RequestFacts {
  return requestFacts({
    path: "cold",
    hookRuns: 1,
    instructions: MISS_FIXED + HASH_PER_BYTE * shape.keyBytes,
    arrayLookups: 1,
    tailCalls: TAIL_CALLS_MISS,
    locks: 1,
  });
}

/** A request served in userspace, without what the hook took. */
export function userspaceFacts(shape: Shape): RequestFacts {
  return requestFacts({
    path: "cold",
    packets: 1,
    stackIn: 1,
    stackOut: 1,
    crossings: 2,
    nativeBytes: requestBytes(shape) + replyBytes(shape),
    storeOps: 1,
  });
}

/** Nanoseconds a profile spends on each way of one request. */
export type Ways = {
  /** Whole cost with no program attached, and its softirq part. */
  readonly plainNs: number;
  readonly plainSoftirqNs: number;
  /** Whole cost of an answer at the hook; NaN where there is none. */
  readonly hitNs: number;
  /** What a request that is passed up pays extra (C * rho of DEM s.3.2). */
  readonly lookNs: number;
  /** Whole cost of a request passed up, and its softirq part. */
  readonly coldNs: number;
  readonly coldSoftirqNs: number;
};

/** @param slower multiplies everything: another machine than the one the profile was measured on */
export function waysOf(profile: Profile, plain: Profile, shape: Shape, slower = 1): Ways {
  const hit = hitFacts(shape);
  // Where userspace answers (AF_XDP) the program at the hook only redirects: it looks nothing up.
  const looks = profile.prices.hookReply.source !== "none";
  const look = costNs(profile, looks ? lookFacts(shape) : requestFacts({ path: "cold", hookRuns: 1 }));
  const up = costNs(profile, userspaceFacts(shape));
  const upSoftirq = softirqStack(profile);
  const plainNs = costNs(plain, userspaceFacts(shape));
  const attached = profile.hook !== null;
  // On the NIC a look delays the request but takes no core: it is not part of what the host spends.
  const onHost = attached && profile.runsOn !== "nic";
  return {
    plainNs: plainNs * slower,
    plainSoftirqNs: (plain.ns.driver + softirqStack(plain)) * slower,
    hitNs: attached && looks ? costNs(profile, hit) * slower : Number.NaN,
    lookNs: attached ? look * slower : 0,
    coldNs: (up + (onHost ? look : 0)) * slower,
    coldSoftirqNs: (profile.ns.driver + (onHost ? look : 0) + upSoftirq) * slower,
  };
}

/** The part of `stackIn` done in softirq: from where the hook stands to the socket. */
export function softirqStack({ ns, busyPoll }: Profile): number {
  if (busyPoll || ns.stackIn < SOCKET_REACH_NS) return 0;
  return Math.max(0, SOCKET_REACH_NS - ns.hookReach);
}

export function hotPath(ways: Ways, extraNs = 0): PathSpec {
  return { name: "hot", hot: true, softirqNs: ways.hitNs + extraNs, userNs: 0 };
}

export function coldPath(ways: Ways): PathSpec {
  return {
    name: "cold",
    hot: false,
    softirqNs: ways.coldSoftirqNs,
    userNs: ways.coldNs - ways.coldSoftirqNs,
  };
}

export function plainPath(ways: Ways): PathSpec {
  return {
    name: "userspace",
    hot: false,
    softirqNs: ways.plainSoftirqNs,
    userNs: ways.plainNs - ways.plainSoftirqNs,
  };
}
