/** What the HTTP server needs of the rest of the service. */
import type { ServerResponse } from "node:http";
import type { Meter } from "../hooks/meter.ts";
import type { CrossingNote } from "../hooks/tcp-stream.ts";
import type { RequestSampler } from "../metrics/request-sampler.ts";
import type { TieredCache } from "../tiers/tiered-cache.ts";
import type { LabBackend } from "./lab/backend.ts";
import type { LabGuard } from "./lab/guard.ts";

export type LabOptions = {
  readonly backend: LabBackend;
  readonly guard: LabGuard;
  /** Where the built page lies. */
  readonly directory: string;
};

export type AppOptions = {
  readonly cache: TieredCache;
  readonly meter: Meter;
  readonly sampler: RequestSampler;
  /** Monotonic clock in nanoseconds; fractions welcome. */
  readonly nowNs: () => number;
  /** The clock that items end by: milliseconds since the epoch. */
  readonly nowMs: () => number;
  /** Why the request at hand crossed; asked once a request, synchronously from its 'request' event. */
  readonly crossing: (response: ServerResponse) => CrossingNote;
  readonly metrics: { readonly contentType: string; metrics(): Promise<string> };
  /** Null when ready, else why not. */
  readonly notReady: () => string | null;
  /** While true, every answer ends its connection. */
  readonly closing: () => boolean;
  readonly maxValueBytes: number;
  readonly maxHeaderBytes: number;
  readonly keepAliveTimeoutMs: number;
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly timeoutCheckMs: number;
  /** Null: the service has no lab page. */
  readonly lab: LabOptions | null;
  /** Why it has none, for who asks for it all the same. */
  readonly noLab?: string;
  readonly onError: (error: Error) => void;
};
