/**
 * The modelled cost of one request as a Server-Timing field (W3C Server Timing): durations in
 * milliseconds, one part a stage that was paid. Every name begins with `model-`, so that nobody takes it
 * for a clock's reading.
 */
import type { RequestFacts } from "../costs/facts.ts";
import type { Profile } from "../costs/profile.ts";

export class ServerTiming {
  readonly #profile: Profile;
  /** Writing eight numbers costs a microsecond, and requests repeat: the texts of the latest ones are kept. */
  readonly #texts: (string | undefined)[] = new Array(SLOTS).fill(undefined);
  readonly #keys = new Float64Array(3 * SLOTS);

  constructor(profile: Profile) {
    this.#profile = profile;
  }

  /** For a cold request: its other counts are the same for all (hooks/meter.ts). */
  of(facts: RequestFacts): string {
    const { hookRuns, instructions, nativeBytes } = facts;
    const slot = (nativeBytes * 31 + instructions * 7 + hookRuns) & (SLOTS - 1);
    const keys = this.#keys;
    const known = this.#texts[slot];
    if (
      known !== undefined &&
      keys[3 * slot] === hookRuns &&
      keys[3 * slot + 1] === instructions &&
      keys[3 * slot + 2] === nativeBytes
    ) {
      return known;
    }
    const text = serverTiming(this.#profile, facts);
    keys[3 * slot] = hookRuns;
    keys[3 * slot + 1] = instructions;
    keys[3 * slot + 2] = nativeBytes;
    this.#texts[slot] = text;
    return text;
  }
}
const SLOTS = 1_024;

export function serverTiming({ ns }: Profile, f: RequestFacts): string {
  const hook = f.hookRuns * (ns.hookReach + ns.hookEnter);
  const program =
    f.instructions * ns.instruction +
    f.arrayLookups * ns.arrayLookup +
    f.hashLookups * ns.hashLookup +
    f.lruLookups * ns.lruLookup +
    f.helperCalls * ns.helperCall +
    f.tailCalls * ns.tailCall +
    f.clockReads * ns.clockRead +
    f.locks * ns.lock +
    f.ebpfBytes * ns.ebpfByte;
  const stack = f.packets * ns.driver + f.stackIn * ns.stackIn + f.stackOut * ns.stackOut;
  const crossing = f.crossings * ns.crossing;
  const copy = f.nativeBytes * ns.nativeByte;
  const store = f.storeOps * ns.storeOp;
  const total = hook + program + stack + crossing + copy + store;
  const atHook = hook === 0 ? "" : `model-hook;dur=${ms(hook)}, model-program;dur=${ms(program)}, `;
  return (
    `${atHook}model-stack;dur=${ms(stack)}, model-crossing;dur=${ms(crossing)}, ` +
    `model-copy;dur=${ms(copy)}, model-store;dur=${ms(store)}, model-total;dur=${ms(total)}`
  );
}

/** Whole nanoseconds, written in milliseconds. */
function ms(ns: number): number {
  return Math.round(ns) / 1e6;
}
