/**
 * What the lab page needs of the running service, as an interface: the routes here know HTTP, the service
 * knows its rooms. The page has the same shapes (src/lab/live/snapshot.ts); a test holds them together.
 */

import type { SampledRequest } from "../../metrics/request-sampler.ts";
import type { MaybePromise } from "../../tiers/cold/store.ts";

type PerTier<T> = { readonly hot: T; readonly cold: T };

export type LoadSettings = {
  readonly keys: number;
  /** Zipf exponent; 0 is uniform. */
  readonly skew: number;
  readonly valueBytes: number;
  /** 0..1 */
  readonly writeShare: number;
  readonly ratePerSecond: number;
  /** The load ends by itself. */
  readonly seconds: number;
};

export const LOAD_LIMITS = {
  maxRatePerSecond: 5_000,
  maxKeys: 10_000,
  maxValueBytes: 4_096,
  maxSeconds: 600,
} as const;

/** Counters only ever grow while the service runs. */
export type Snapshot = {
  readonly atMs: number;
  readonly offload: "on" | "off";
  readonly profile: string;
  readonly costsScale: number;
  readonly answered: PerTier<number>;
  readonly notFound: number;
  readonly writes: number;
  /** Bucket i counts values in (2^(i-1), 2^i] nanoseconds. */
  readonly observed: PerTier<readonly number[]>;
  readonly modelled: PerTier<readonly number[]>;
  readonly crossings: Readonly<Record<string, number>>;
  readonly verdicts: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly hot: {
    readonly entries: number;
    readonly live: number;
    readonly bytes: number;
    readonly fills: number;
    readonly invalidations: number;
    readonly collisions: number;
  };
  readonly cold: { readonly items: number; readonly bytes: number };
  readonly load: {
    readonly running: boolean;
    readonly settings: LoadSettings;
    readonly achievedPerSecond: number;
  };
};

export type Settings = {
  readonly offload?: "on" | "off" | undefined;
  readonly profile?: string | undefined;
  readonly costsScale?: number | undefined;
};

/** A wish the service cannot fulfil, in one line: answered 409. */
export class Unfulfillable extends Error {}

export interface LabBackend {
  readonly profiles: readonly string[];
  readonly canAttach: boolean;
  snapshot(): Snapshot;
  samples(): readonly SampledRequest[];
  /** @throws Unfulfillable */
  change(settings: Settings): void;
  /** @throws Unfulfillable */
  startLoad(settings: LoadSettings): void;
  stopLoad(): void;
  clear(): MaybePromise<void>;
}
