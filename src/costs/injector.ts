/**
 * Modelled time made real: a debt account. Each request charges what it owes; `pay` spins once the debt
 * is worth a quantum. One spin cannot last 38 ns, but a hundred requests' debt can be paid exactly, and
 * what a spin overshoots is credited to the next. Pure: the clock is injected (monotonic nanoseconds).
 * Time the operating system took away in the middle of a spin is not delay we injected: beyond
 * `maxCreditNs` it is reported as stolen, neither achieved nor credited.
 */
export type TierName = "hot" | "cold";
const TIERS = ["hot", "cold"] as const;

export type InjectorOptions = {
  /** 0 = off, 1 = as modelled, 100 = a teaching dilation. Finite, >= 0. */
  readonly scale: number;
  /** Monotonic clock, nanoseconds; fractions welcome. */
  readonly nowNs: () => number;
  /** Smallest debt worth a spin. */
  readonly quantumNs?: number;
  readonly maxCreditNs?: number;
};

export type Accuracy = {
  /** Nanoseconds asked for and no longer owed; what is still owed is `owedNs`. */
  readonly askedNs: number;
  readonly achievedNs: number;
  readonly owedNs: number;
  /** achieved / (asked - owed); 1 while nothing was due. */
  readonly ratio: number;
};

export type InjectorReport = Readonly<Record<TierName, Accuracy>> & {
  readonly stolenNs: number;
  readonly spins: number;
};

export class Injector {
  #scale: number;
  readonly #nowNs: () => number;
  readonly #quantumNs: number;
  readonly #maxCreditNs: number;
  /** What one look at the clock costs: spent by every spin outside its own measurement. */
  #clockNs = 0;
  #owedHot = 0;
  #owedCold = 0;
  #askedHot = 0;
  #askedCold = 0;
  #achievedHot = 0;
  #achievedCold = 0;
  #stolenNs = 0;
  #spins = 0;

  constructor({ scale, nowNs, quantumNs = 5_000, maxCreditNs = 200_000 }: InjectorOptions) {
    this.#scale = checkedScale(scale);
    this.#nowNs = nowNs;
    this.#quantumNs = quantumNs;
    this.#maxCreditNs = maxCreditNs;
  }

  get scale(): number {
    return this.#scale;
  }

  /** What is owed already stays owed. */
  set scale(scale: number) {
    this.#scale = checkedScale(scale);
  }

  /** Measures the price of one clock read, which each spin spends beside its measured interval. */
  calibrate(reads = 1_000): number {
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 5; round++) {
      const start = this.#nowNs();
      for (let i = 1; i < reads; i++) this.#nowNs();
      best = Math.min(best, (this.#nowNs() - start) / reads);
    }
    this.#clockNs = Math.max(0, best);
    return this.#clockNs;
  }

  /** Adds modelled nanoseconds to what is owed. Free at scale 0. */
  charge(tier: TierName, ns: number): void {
    const owed = ns * this.#scale;
    if (owed === 0) return;
    if (tier === "hot") {
      this.#askedHot += owed;
      this.#owedHot += owed;
    } else {
      this.#askedCold += owed;
      this.#owedCold += owed;
    }
  }

  /** Nanoseconds owed by both tiers; negative after a spin that overshot. */
  get owedNs(): number {
    return this.#owedHot + this.#owedCold;
  }

  /**
   * Spins if at least a quantum (or, with `everything`, anything) is owed. Call once per batch of
   * requests, where the delay should be felt: before the answers are written.
   * @returns nanoseconds spun
   */
  pay(everything = false): number {
    const owed = this.#owedHot + this.#owedCold;
    if (owed <= 0 || (!everything && owed < this.#quantumNs)) return 0;
    const start = this.#nowNs();
    const until = start + owed - this.#clockNs;
    let now = start;
    while (now < until) now = this.#nowNs();
    const elapsed = now - start + this.#clockNs;
    const stolen = Math.max(0, elapsed - owed - this.#maxCreditNs);
    const paid = elapsed - stolen;
    // Both tiers take the same fraction; it is linear, so a tier in credit stays in exact account.
    const fraction = paid / owed;
    const hot = this.#owedHot * fraction;
    const cold = this.#owedCold * fraction;
    this.#owedHot -= hot;
    this.#owedCold -= cold;
    this.#achievedHot += hot;
    this.#achievedCold += cold;
    this.#stolenNs += stolen;
    this.#spins++;
    return elapsed;
  }

  report(): InjectorReport {
    const rows = [
      [this.#askedHot, this.#achievedHot, this.#owedHot],
      [this.#askedCold, this.#achievedCold, this.#owedCold],
    ] as const;
    const accuracy = TIERS.map((_, i) => {
      const [askedNs, achievedNs, owedNs] = rows[i] as (typeof rows)[0];
      // Owed below zero is an overshoot still to be worked off: it counts as achieved too much.
      const due = askedNs - Math.max(0, owedNs);
      return { askedNs, achievedNs, owedNs, ratio: due > 0 ? achievedNs / due : 1 };
    });
    return {
      hot: accuracy[0] as Accuracy,
      cold: accuracy[1] as Accuracy,
      stolenNs: this.#stolenNs,
      spins: this.#spins,
    };
  }
}

function checkedScale(scale: number): number {
  if (Number.isFinite(scale) && scale >= 0) return scale;
  throw new RangeError(`costs scale is ${scale}; allowed: a finite number >= 0`);
}
