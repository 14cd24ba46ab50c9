/** The Prometheus registry: Node's own metrics and whatever families the service adds. */
import { collectDefaultMetrics, Registry } from "prom-client";
import { type Family, register } from "./family.ts";

/** Gauges whose names end like counters: `promtool check metrics` objects, and labelled twins exist. */
const MISNAMED = [
  "nodejs_active_handles_total",
  "nodejs_active_requests_total",
  "nodejs_active_resources_total",
];

export function createRegistry(families: readonly Family[]): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED) registry.removeSingleMetric(name);
  register(registry, families);
  return registry;
}
