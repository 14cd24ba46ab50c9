/** What the HTTP server needs of the rest of the service. */
import type { ServerResponse } from "node:http";
import type { Meter } from "../hooks/meter.ts";
import type { CrossingNote } from "../hooks/tcp-stream.ts";
import type { TieredCache } from "../tiers/tiered-cache.ts";

export type AppOptions = {
  readonly cache: TieredCache;
  readonly meter: Meter;
  /** Monotonic clock in nanoseconds; fractions welcome. */
  readonly nowNs: () => number;
  /** Why the request at hand crossed; asked once a request, synchronously from its 'request' event. */
  readonly crossing: (response: ServerResponse) => CrossingNote;
  readonly metrics: { readonly contentType: string; metrics(): Promise<string> };
  /** Null when ready, else why not. */
  readonly notReady: () => string | null;
  /** While true, every answer ends its connection. */
  readonly closing: () => boolean;
  readonly maxValueBytes: number;
  readonly keepAliveTimeoutMs: number;
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly timeoutCheckMs: number;
  readonly onError: (error: Error) => void;
};
