/** What a process holds, as the kernel and its own metrics tell it; and whether that is flat. */
import { readdirSync, readFileSync } from "node:fs";
import type { Service } from "../server.ts";

export type Vitals = {
  readonly atMs: number;
  readonly residentBytes: number;
  readonly descriptors: number;
  /** Timers, sockets and the like that keep the event loop alive. */
  readonly activeResources: number;
};

export async function readVitals(service: Service, startedMs: number): Promise<Vitals> {
  const scrape = await service.scrape();
  const status = readFileSync(`/proc/${service.pid}/status`, "utf8");
  return {
    atMs: performance.now() - startedMs,
    residentBytes: Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024,
    descriptors: readdirSync(`/proc/${service.pid}/fd`).length,
    activeResources: scrape.sum("bmc_active_resources"),
  };
}

/** Garbage is collected when V8 likes: so much more than before is not growth. */
const GROWTH_RATIO = 1.15;
const GROWTH_BYTES = 24 << 20;

/** @returns what grew, or null: the last quarter's median resident size against the second quarter's */
export function growth(series: readonly Vitals[]): string | null {
  const quarter = Math.floor(series.length / 4);
  if (quarter < 3) return null;
  const early = median(series.slice(quarter, 2 * quarter).map((v) => v.residentBytes));
  const late = median(series.slice(-quarter).map((v) => v.residentBytes));
  if (late <= early * GROWTH_RATIO + GROWTH_BYTES) return null;
  return `resident size grew from ${megabytes(early)} in the second quarter to ${megabytes(late)} in the last`;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

export function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
