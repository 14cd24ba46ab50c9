/** Families about a hook's connections. The hook gives its numbers; this room does not know hooks. */
import { REASON_NAMES, RUN_REASONS } from "../tiers/hot/run-info.ts";
import { type Family, sample } from "./family.ts";

export type HookNumbers = {
  readonly connections: number;
  readonly attached: boolean;
  readonly faults: number;
  readonly pinnedByReason: Float64Array;
  readonly timedNs: number;
  readonly timedMessages: number;
};

const PINNING = RUN_REASONS.filter((row) => "crossing" in row && row.crossing === "pinned");

export function hookFamilies(hook: HookNumbers): readonly Family[] {
  return [
    {
      name: "bmc_hook_connections",
      help: "Open connections that entered through the hook.",
      type: "gauge",
      read: () => [sample(hook.connections, { hook: "sk_skb" })],
    },
    {
      name: "bmc_hook_attached",
      help: "1 while the program is attached and answering.",
      type: "gauge",
      read: () => [sample(hook.attached ? 1 : 0, { hook: "sk_skb" })],
    },
    {
      name: "bmc_hook_faults_total",
      help: "Faults of an attached program at run time; it is detached by the first.",
      type: "counter",
      read: () => [sample(hook.faults, { hook: "sk_skb" })],
    },
    {
      name: "bmc_program_run_seconds_total",
      help: "Time the hook's programs took, copying in and out included, for the answered messages that were timed (all of the first 1,000 chunks a second, then one chunk in 8).",
      type: "counter",
      read: () => [sample(hook.timedNs / 1e9, { hook: "sk_skb" })],
    },
    {
      name: "bmc_program_timed_messages_total",
      help: "Answered messages that bmc_program_run_seconds_total is of.",
      type: "counter",
      read: () => [sample(hook.timedMessages, { hook: "sk_skb" })],
    },
    {
      name: "bmc_pinned_connections_total",
      help: "Connections given up to userspace for their life, by what the parser could not frame.",
      type: "counter",
      read: () =>
        PINNING.map(({ code }) => sample(hook.pinnedByReason[code]!, { reason: REASON_NAMES[code]! })),
    },
  ];
}
