/**
 * Charges requests: counts in, modelled nanoseconds out, into the histograms and, scaled, into the
 * injector. One record is reused for every request of a tier; the caller fills it and calls charge.
 */
import { type RequestFacts, requestFacts } from "../costs/facts.ts";
import type { Injector } from "../costs/injector.ts";
import { costNs } from "../costs/ledger.ts";
import type { Profile } from "../costs/profile.ts";
import type { ServingStats } from "../metrics/serving-stats.ts";

export class Meter {
  /** May be exchanged while serving: what was charged stays as it was. */
  profile: Profile;
  readonly injector: Injector;
  readonly stats: ServingStats;
  /** Scratch records. */
  readonly hot: RequestFacts = requestFacts({ path: "hot", hookReplies: 1 });
  readonly refusal: RequestFacts = requestFacts({ path: "hot", hookRuns: 1, hookReplies: 1 });
  readonly cold: RequestFacts = requestFacts({
    path: "cold",
    stackIn: 1,
    stackOut: 1,
    crossings: 2,
    storeOps: 1,
  });

  constructor(profile: Profile, injector: Injector, stats: ServingStats) {
    this.profile = profile;
    this.injector = injector;
    this.stats = stats;
  }

  /** Is any delay injected? */
  get injects(): boolean {
    return this.injector.scale > 0;
  }

  /** `times` hot answers, each as `this.hot` says. */
  chargeHot(times: number): void {
    const ns = costNs(this.profile, this.hot);
    this.stats.modelled.hot.observeMany(ns, times);
    this.stats.ebpfBytes += this.hot.ebpfBytes * times;
    if (this.injects) this.injector.charge("hot", ns * times);
  }

  /** One look-up refused at the hook: it costs as a hit without a value, and is none. */
  chargeRefusal(instructions: number): void {
    if (!this.injects) return;
    this.refusal.instructions = instructions;
    this.injector.charge("hot", costNs(this.profile, this.refusal));
    this.injector.pay();
  }

  /** One write, as `this.cold` says: charged as cold work, kept out of the reads' histogram. */
  chargeWrite(): void {
    const ns = costNs(this.profile, this.cold);
    this.stats.writes++;
    this.stats.nativeBytes += this.cold.nativeBytes;
    if (this.injects) {
      this.injector.charge("cold", ns);
      this.injector.pay();
    }
  }

  /** One cold answer, as `this.cold` says; pays what is owed, so the answer is late by it. */
  chargeCold(): void {
    const ns = costNs(this.profile, this.cold);
    this.stats.modelled.cold.observe(ns);
    this.stats.nativeBytes += this.cold.nativeBytes;
    this.stats.ebpfBytes += this.cold.ebpfBytes;
    if (this.injects) {
      this.injector.charge("cold", ns);
      this.injector.pay();
    }
  }
}
