/**
 * Both tiers as a protocol server sees them. Reads go to the cold tier (a hot hit never gets here: the
 * hook answered it) and may fill the hot tier; writes invalidate the hot entry before and after the cold
 * write, and are acknowledged last (docs/architecture.md, coherence).
 */
import type { Change, Item, Key, MaybePromise, StoreStats } from "./cold/store.ts";

export interface Cache {
  /** The live item, or null; may fill the hot tier by the admission rule. */
  get(key: Key): MaybePromise<Item | null>;
  /** One atomic read-modify-write, with the hot entry invalid from before it to after it. */
  update<T>(key: Key, change: (old: Item | null) => Change<T>): MaybePromise<T>;
  /** Both tiers emptied. */
  clear(): MaybePromise<void>;
  stats(): StoreStats;
}
