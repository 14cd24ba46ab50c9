/** What the service turned away to stay within its limits. */
import { type Family, sample } from "./family.ts";

export type LimitNumbers = {
  /** Operations refused before they began. */
  readonly shed: number;
  /** Connections closed at once. */
  readonly droppedConnections: number;
};

export function limitFamilies(read: () => LimitNumbers): readonly Family[] {
  return [
    {
      name: "bmc_shed_total",
      help: "Look-ups and writes refused because cold.maxPending were under way, waited at the hook or were begun in one turn of the event loop: 503 over HTTP, SERVER_ERROR over memcached.",
      type: "counter",
      read: () => [sample(read().shed)],
    },
    {
      name: "bmc_dropped_connections_total",
      help: "HTTP connections closed at once because server.maxConnections were open.",
      type: "counter",
      read: () => [sample(read().droppedConnections)],
    },
  ];
}
