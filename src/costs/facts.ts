/**
 * What happened to one request, as counts. The serving path fills one such record and reuses it; the
 * simulator fills it from a workload. Counts, never times: a profile turns them into nanoseconds.
 * `instructions` are those outside copy loops: bytes moved by a program are priced whole, loop included.
 */
export type RequestPath = "hot" | "cold";

export type RequestFacts = {
  /** hot: answered at the hook; cold: by userspace. A label: every charge follows from the counts. */
  path: RequestPath;
  /** Packets through the NIC driver (0 where the real machine under Node already did that work). */
  packets: number;
  /** Program invocations at the hook; tail calls are counted apart. 0 with no program attached. */
  hookRuns: number;
  instructions: number;
  arrayLookups: number;
  hashLookups: number;
  lruLookups: number;
  /** Helper calls that cross a function boundary (inlined array look-ups are not among them). */
  helperCalls: number;
  tailCalls: number;
  clockReads: number;
  locks: number;
  /** Bytes a program moved itself. */
  ebpfBytes: number;
  /** Replies sent from the hook. */
  hookReplies: number;
  /** Requests that went up through the stack above the hook. */
  stackIn: number;
  /** Replies that came down through it. */
  stackOut: number;
  /** Kernel/user boundary crossings: one in, one out for a cold request. */
  crossings: number;
  /** Bytes moved by native code (kernel or userspace). */
  nativeBytes: number;
  /** Requests worked on by the userspace server: parse, look up, build the answer. */
  storeOps: number;
};

/** A record with every count 0 unless given. */
export function requestFacts(given: Partial<RequestFacts> & { path: RequestPath }): RequestFacts {
  return {
    path: given.path,
    packets: given.packets ?? 0,
    hookRuns: given.hookRuns ?? 0,
    instructions: given.instructions ?? 0,
    arrayLookups: given.arrayLookups ?? 0,
    hashLookups: given.hashLookups ?? 0,
    lruLookups: given.lruLookups ?? 0,
    helperCalls: given.helperCalls ?? 0,
    tailCalls: given.tailCalls ?? 0,
    clockReads: given.clockReads ?? 0,
    locks: given.locks ?? 0,
    ebpfBytes: given.ebpfBytes ?? 0,
    hookReplies: given.hookReplies ?? 0,
    stackIn: given.stackIn ?? 0,
    stackOut: given.stackOut ?? 0,
    crossings: given.crossings ?? 0,
    nativeBytes: given.nativeBytes ?? 0,
    storeOps: given.storeOps ?? 0,
  };
}

export type FactKey = Exclude<keyof RequestFacts, "path">;
