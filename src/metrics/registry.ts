/** The Prometheus registry: Node's own metrics and whatever families the service adds. */
import { collectDefaultMetrics, Registry } from "prom-client";
import { type Family, register, sample } from "./family.ts";

/** Gauges whose names end like counters: `promtool check metrics` objects, and labelled twins exist. */
const MISNAMED = [
  "nodejs_active_handles_total",
  "nodejs_active_requests_total",
  "nodejs_active_resources_total",
];

/** In the place of those: what a leak of sockets or timers would show in. */
const ACTIVE_RESOURCES: Family = {
  name: "bmc_active_resources",
  help: "Sockets, timers and the like that keep the event loop alive, by kind.",
  type: "gauge",
  read: () => {
    const counts = new Map<string, number>();
    for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    return [...counts].map(([kind, count]) => sample(count, { kind }));
  },
};

export function createRegistry(families: readonly Family[]): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED) registry.removeSingleMetric(name);
  register(registry, [...families, ACTIVE_RESOURCES]);
  return registry;
}
