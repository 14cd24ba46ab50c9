/**
 * Modelled nanoseconds of one request. Pure: no clock, no I/O, no randomness, so a replay agrees.
 * `costNs` is the serving path's form: plain arithmetic, nothing allocated. `ledger` is the same sum as
 * lines a person can read; a test holds the two together.
 */
import type { RequestFacts } from "./facts.ts";
import { PRICES, type Profile, type SourceTag, type Stage } from "./profile.ts";

export type LedgerLine = {
  readonly stage: Stage;
  /** The price's name in the profile. */
  readonly item: string;
  readonly quantity: number;
  readonly unit: string;
  readonly unitNs: number;
  readonly ns: number;
  readonly source: SourceTag;
  readonly ref: string;
};

/** @returns modelled nanoseconds of the request under this profile. */
export function costNs({ ns }: Profile, f: RequestFacts): number {
  return (
    f.packets * ns.driver +
    f.hookRuns * (ns.hookReach + ns.hookEnter) +
    f.instructions * ns.instruction +
    f.arrayLookups * ns.arrayLookup +
    f.hashLookups * ns.hashLookup +
    f.lruLookups * ns.lruLookup +
    f.helperCalls * ns.helperCall +
    f.tailCalls * ns.tailCall +
    f.clockReads * ns.clockRead +
    f.locks * ns.lock +
    f.ebpfBytes * ns.ebpfByte +
    f.hookReplies * ns.hookReply +
    f.stackIn * ns.stackIn +
    f.stackOut * ns.stackOut +
    f.crossings * ns.crossing +
    f.nativeBytes * ns.nativeByte +
    f.storeOps * ns.storeOp
  );
}

/** The same sum line by line; prices that did not apply are left out. */
export function ledger(profile: Profile, facts: RequestFacts): LedgerLine[] {
  const lines: LedgerLine[] = [];
  for (const { key, stage, per, unit } of PRICES) {
    if (per === null || facts[per] === 0) continue;
    const { value, source, ref } = profile.prices[key];
    const quantity = facts[per];
    lines.push({ stage, item: key, quantity, unit, unitNs: value, ns: quantity * value, source, ref });
  }
  return lines;
}

/** Sums a ledger by stage, in the order a request meets them: what `Server-Timing` and the lab show. */
export function byStage(lines: readonly LedgerLine[]): Map<Stage, number> {
  const sums = new Map<Stage, number>();
  for (const { stage, ns } of lines) sums.set(stage, (sums.get(stage) ?? 0) + ns);
  return sums;
}
