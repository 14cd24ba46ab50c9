/**
 * Both tiers behind one face (cache.ts), and the order of steps that keeps them coherent:
 *   write: beginWrite (hot entry dead, generation up, writers up) -> cold write -> endWrite -> acknowledge
 *   read:  note the generation -> cold read -> fill, unless the generation moved or a writer is there
 * A cold write that fails still ends the write: the entry stays dead, so nothing stale can be served.
 */
import type { Cache } from "./cache.ts";
import type { Change, ColdStore, Item, Key, MaybePromise, StoreStats } from "./cold/store.ts";
import type { Admission } from "./hot/admission.ts";
import { type FillResult, HotTier } from "./hot/hot-tier.ts";
import { fnv1a } from "./hot/layout.ts";
import type { Intake } from "./intake.ts";

/** What became of one read, for whoever wants to tell: written before the read's answer is given. */
export type ReadOutcome = { fill: FillResult | null };

export class TieredCache implements Cache {
  readonly cold: ColdStore;
  readonly hot: HotTier | null;
  readonly #admission: Admission;
  readonly #now: () => number;
  /** Null where whoever asks bounds itself: nothing is refused here. */
  readonly intake: Intake | null;
  /** Reads of the cold tier. */
  coldHits = 0;
  coldMisses = 0;
  /**
   * False while a shared cold tier cannot tell us of others' writes. The hot tier is then empty and takes no
   * fill: every request crosses, and none can see an old value.
   */
  trusted = true;
  /** Monotonic clock of when trust was lost; what earlier losses lasted in all. */
  #untrustedSinceMs = 0;
  #untrustedMs = 0;

  /** @param hot null where no program is attached */
  constructor(
    cold: ColdStore,
    hot: HotTier | null,
    admission: Admission,
    now: () => number = Date.now,
    intake: Intake | null = null,
  ) {
    this.cold = cold;
    this.hot = hot;
    this.#admission = admission;
    this.#now = now;
    this.intake = intake;
    cold.watch?.({
      remoteWrite: (key) => {
        if (key === null) this.hot?.clear();
        else this.hot?.invalidate(key);
      },
      hold: (key) => this.#hold(key),
      trusted: (isTrusted) => this.#trust(isTrusted),
    });
  }

  /** How long the hot tier has had to be bypassed, in all, the present time included. */
  get untrustedMs(): number {
    return this.#untrustedMs + (this.trusted ? 0 : performance.now() - this.#untrustedSinceMs);
  }

  /** @throws StoreUnavailable past the intake's bound */
  get(key: Key, outcome?: ReadOutcome): MaybePromise<Item | null> {
    const { intake } = this;
    return intake === null ? this.#get(key, outcome) : intake.run(() => this.#get(key, outcome));
  }

  /** @throws StoreUnavailable past the intake's bound */
  update<T>(key: Key, change: (old: Item | null) => Change<T>): MaybePromise<T> {
    const { intake } = this;
    return intake === null ? this.#update(key, change) : intake.run(() => this.#update(key, change));
  }

  #get(key: Key, outcome: ReadOutcome | undefined): MaybePromise<Item | null> {
    const hot = this.hot;
    if (hot === null) {
      const item = this.cold.get(key);
      return item instanceof Promise ? item.then((late) => this.#count(late)) : this.#count(item);
    }
    const hash = fnv1a(key);
    const slot = hot.slotOf(hash);
    const generation = hot.generation(slot);
    const item = this.cold.get(key);
    return item instanceof Promise
      ? item.then((late) => this.#offer(hot, slot, hash, generation, key, late, outcome))
      : this.#offer(hot, slot, hash, generation, key, item, outcome);
  }

  #update<T>(key: Key, change: (old: Item | null) => Change<T>): MaybePromise<T> {
    const hot = this.hot;
    if (hot === null) return this.cold.update(key, change);
    const slot = hot.beginWrite(key);
    let result: MaybePromise<T>;
    try {
      result = this.cold.update(key, change);
    } catch (error) {
      hot.endWrite(slot);
      throw error;
    }
    if (result instanceof Promise) return result.finally(() => hot.endWrite(slot));
    hot.endWrite(slot);
    return result;
  }

  clear(): MaybePromise<void> {
    this.hot?.clear();
    const done = this.cold.clear();
    // Once more: a read that asked before the clear may have filled since.
    if (done instanceof Promise) return done.finally(() => this.hot?.clear());
    return done;
  }

  stats(): StoreStats {
    return this.cold.stats();
  }

  #trust(isTrusted: boolean): void {
    if (isTrusted === this.trusted) return;
    this.trusted = isTrusted;
    if (isTrusted) this.#untrustedMs += performance.now() - this.#untrustedSinceMs;
    else this.#untrustedSinceMs = performance.now();
    // On the way out nothing old may be served; on the way in, nothing that was read while blind may enter.
    this.hot?.clear();
  }

  #hold(key: Key): () => void {
    const hot = this.hot;
    if (hot === null) return () => {};
    const slot = hot.beginWrite(key);
    return () => hot.endWrite(slot);
  }

  #count(item: Item | null): Item | null {
    if (item === null) this.coldMisses++;
    else this.coldHits++;
    return item;
  }

  #offer(
    hot: HotTier,
    slot: number,
    hash: number,
    generation: number,
    key: Key,
    item: Item | null,
    outcome: ReadOutcome | undefined,
  ): Item | null {
    this.#count(item);
    let fill: FillResult | null = null;
    if (item !== null) {
      const misfit = HotTier.misfit(key, item);
      const nowMs = this.#now();
      // What cannot be hot takes no place in the admission table.
      if (!this.trusted) {
        fill = "untrusted";
        hot.rejected.untrusted++;
      } else if (misfit === null && !this.#admission.admits(hash, nowMs)) {
        fill = "not-admitted";
        hot.rejected["not-admitted"]++;
      } else fill = hot.fill(slot, hash, generation, key, item, nowMs);
    }
    // The tc program must not fill from this item's reply: it does not tell when the item expires, nor that
    // nothing may be filled now.
    if (item !== null && (item.expiresAtMs !== 0 || fill === "untrusted")) hot.dropFillsUnderWay(slot);
    if (outcome !== undefined) outcome.fill = fill;
    return item;
  }
}
