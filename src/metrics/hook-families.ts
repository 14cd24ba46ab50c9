/** Families about the connections of sk_skb hooks. A hook gives its numbers; this room does not know hooks. */
import { REASON_NAMES, RUN_REASONS } from "../tiers/hot/run-info.ts";
import { type Family, type Sample, sample } from "./family.ts";

export type HookNumbers = {
  readonly connections: number;
  readonly waiting: number;
  readonly attached: boolean;
  readonly faults: number;
  readonly pinnedByReason: Float64Array;
  readonly timedNs: number;
  readonly timedMessages: number;
};

const PINNING = RUN_REASONS.filter((row) => "crossing" in row && row.crossing === "pinned");

/** @param hooks by the server each stands before */
export function hookFamilies(hooks: Readonly<Record<string, HookNumbers>>): readonly Family[] {
  const each = (read: (hook: HookNumbers) => number): Sample[] =>
    Object.entries(hooks).map(([server, hook]) => sample(read(hook), { hook: "sk_skb", server }));
  return [
    {
      name: "bmc_hook_connections",
      help: "Open connections that entered through the hook.",
      type: "gauge",
      read: () => each((hook) => hook.connections),
    },
    {
      name: "bmc_hook_waiting_connections",
      help: "Connections with bytes that passed and wait for userspace's turn; many of them mean overload.",
      type: "gauge",
      read: () => each((hook) => hook.waiting),
    },
    {
      name: "bmc_hook_attached",
      help: "1 while the program is attached and answering.",
      type: "gauge",
      across: "min",
      read: () => each((hook) => (hook.attached ? 1 : 0)),
    },
    {
      name: "bmc_hook_faults_total",
      help: "Faults of an attached program at run time; it is detached by the first.",
      type: "counter",
      read: () => each((hook) => hook.faults),
    },
    {
      name: "bmc_program_run_seconds_total",
      help: "Time the hook's programs took, copying in and out included, for the answered messages that were timed (all of the first 1,000 chunks a second, then one chunk in 8).",
      type: "counter",
      read: () => each((hook) => hook.timedNs / 1e9),
    },
    {
      name: "bmc_program_timed_messages_total",
      help: "Answered messages that bmc_program_run_seconds_total is of.",
      type: "counter",
      read: () => each((hook) => hook.timedMessages),
    },
    {
      name: "bmc_pinned_connections_total",
      help: "Connections given up to userspace for their life, by what the parser could not frame.",
      type: "counter",
      read: () =>
        Object.entries(hooks).flatMap(([server, hook]) =>
          PINNING.map(({ code }) =>
            sample(hook.pinnedByReason[code]!, { reason: REASON_NAMES[code]!, server }),
          ),
        ),
    },
  ];
}
