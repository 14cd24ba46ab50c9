/** The cold tier other processes share, where one is configured. */
import type { Logger } from "pino";
import type { Config } from "../config.ts";
import { withoutPassword } from "../tiers/cold/redis-address.ts";
import type { ColdStore } from "../tiers/cold/store.ts";
import { Refusal } from "./exit.ts";

/** @throws Refusal when a configured server cannot be reached at start */
export async function sharedCold({ cold }: Config, logger: Logger): Promise<ColdStore | null> {
  if (cold.url === null) return null;
  const { url, caFile, coherence, leaseMs, deadlineMs, maxPending, maxPendingBytes } = cold;
  // The client and its protocol are loaded only where they are used.
  const { RedisStore } = await import("../tiers/cold/redis.ts");
  try {
    const onError = (error: Error) => logger.warn({ reason: error.message }, "cold tier");
    const bounds = { deadlineMs, maxPending, maxPendingBytes };
    return await RedisStore.connect({ url, caFile, coherence, leaseMs, ...bounds, onError });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message || cause.name : String(cause);
    throw new Refusal(`cannot reach the cold tier at ${withoutPassword(url)}: ${why}`, { cause });
  }
}
