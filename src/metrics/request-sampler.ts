/**
 * A few of the last requests, kept for the lab: which tier answered, why it crossed, and the counts its
 * ledger is made of. Costs one comparison a request while nobody looks: `dueNs` is then infinite.
 */
import type { RequestFacts } from "../costs/facts.ts";
import type { Profile } from "../costs/profile.ts";

export type SampledRequest = {
  readonly id: number;
  readonly atMs: number;
  readonly method: string;
  readonly key: string;
  readonly status: number;
  readonly tier: "hot" | "cold";
  readonly crossed: string | null;
  readonly observedNs: number;
  readonly facts: RequestFacts;
  readonly profile: Profile;
};

const KEEP = 24;
/** A sample of each tier at most so often. */
const EVERY_NS = 100e6;
/** Nobody has looked for so long: stop sampling. */
const IDLE_NS = 10e9;

export class RequestSampler {
  /** A hot, a cold answer at or after this monotonic time is to be taken. */
  readonly dueNs = { hot: Number.POSITIVE_INFINITY, cold: Number.POSITIVE_INFINITY };
  readonly #nowNs: () => number;
  readonly #samples: SampledRequest[] = [];
  #nextId = 1;
  #lookedNs = 0;

  constructor(nowNs: () => number) {
    this.#nowNs = nowNs;
  }

  /** The latest first. Looking starts the sampling. */
  look(): readonly SampledRequest[] {
    this.#lookedNs = this.#nowNs();
    this.dueNs.hot = Math.min(this.dueNs.hot, this.#lookedNs);
    this.dueNs.cold = Math.min(this.dueNs.cold, this.#lookedNs);
    return this.#samples;
  }

  /** `facts` is a record its owner reuses: it is copied. */
  take(sample: Omit<SampledRequest, "id" | "atMs">): void {
    const now = this.#nowNs();
    this.dueNs[sample.tier] = now - this.#lookedNs > IDLE_NS ? Number.POSITIVE_INFINITY : now + EVERY_NS;
    this.#samples.unshift({
      ...sample,
      id: this.#nextId++,
      atMs: Date.now(),
      facts: { ...sample.facts },
    });
    if (this.#samples.length > KEEP) this.#samples.pop();
  }
}
