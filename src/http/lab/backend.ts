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

/** Where a program is attached, by its type: before the HTTP server, before and behind memcached. */
export const ATTACH_PLACES = ["sk_skb", "xdp", "tc"] as const;
export type AttachPlace = (typeof ATTACH_PLACES)[number];
export const MAX_UPLOAD_BYTES = 2 ** 20;

/** A program to attach: assembly text, or one of an object file's. */
export type Upload =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "object"; readonly bytes: Uint8Array; readonly program: string };

export type ServingProgram = {
  /** Where another may take its place; null: nowhere, it is only shown. */
  readonly place: AttachPlace | null;
  /** With the end of the pair: `sk_skb/stream_verdict`. */
  readonly at: string;
  readonly name: string;
  /** Did the service start with it, or did the lab attach it? */
  readonly from: "start" | "lab";
  readonly attached: boolean;
  readonly instructions: number;
  readonly runs: number;
  /** Why it was detached at run time, or null. */
  readonly fault: string | null;
};

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
  readonly programs: readonly ServingProgram[];
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
  /** Started with --lab-write: programs may be exchanged. */
  readonly canWrite: boolean;
  /** Hooks this service has. */
  readonly places: readonly AttachPlace[];
  snapshot(): Snapshot;
  samples(): readonly SampledRequest[];
  /** @throws Unfulfillable */
  change(settings: Settings): void;
  /** @throws Unfulfillable */
  startLoad(settings: LoadSettings): void;
  stopLoad(): void;
  clear(): MaybePromise<void>;
  /** Verified elsewhere first, within a time limit. @throws Unfulfillable */
  attach(upload: Upload): Promise<void>;
  /** @throws Unfulfillable */
  detach(place: AttachPlace): void;
  /** What the service started with serves there again. @throws Unfulfillable */
  restore(place: AttachPlace): void;
}
