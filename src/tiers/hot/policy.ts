/**
 * The hot tier's policies, as src/programs/hot_map.h builds them: who makes room for whom. A policy is a layout
 * of maps that programs and userspace must agree on, so each has maps of names of its own, and objects built
 * for it carry its suffix. The simulator models the same three (sim/hot-tier.ts).
 */
import type { MapDef } from "../../bpf/program.ts";
import { HOT_ENTRY_BYTES } from "./layout.ts";

export const HOT_POLICIES = ["direct", "set", "lru"] as const;
export type HotPolicy = (typeof HOT_POLICIES)[number];

/** HOT_WAYS of the shipped set-associative objects (build.sh). */
export const SET_WAYS = 4;
/** HOT_SLOTS_PER_ENTRY of hot_map.h. */
export const LRU_SLOTS_PER_ENTRY = 4;

type PolicyRow = {
  /** NAME.bpf.o is NAME + this + .bpf.o when built for the policy. */
  readonly objectSuffix: string;
  /** The compiler's flag, for who brings an object built for another policy. */
  readonly flag: string;
  /** Entries lie in groups of so many. */
  readonly ways: number;
  readonly entryMap: MapDef;
  /** Where slots have words of their own: how many of them an entry. */
  readonly slotMap: MapDef | null;
};

const ARRAY = { keyBytes: 4, maxEntries: 16_384, flags: 0 } as const;

export const POLICY_TABLE: Readonly<Record<HotPolicy, PolicyRow>> = {
  direct: {
    objectSuffix: "",
    flag: "no HOT_WAYS",
    ways: 1,
    entryMap: { ...ARRAY, name: "hot_map", type: "array", valueBytes: HOT_ENTRY_BYTES, spinLockOffset: 0 },
    slotMap: null,
  },
  set: {
    objectSuffix: "_set",
    flag: `-DHOT_WAYS=${SET_WAYS}`,
    ways: SET_WAYS,
    entryMap: {
      ...ARRAY,
      name: `hot_set${SET_WAYS}`,
      type: "array",
      valueBytes: HOT_ENTRY_BYTES,
      spinLockOffset: 0,
    },
    slotMap: null,
  },
  lru: {
    objectSuffix: "_lru",
    flag: "-DHOT_LRU",
    ways: 1,
    entryMap: { ...ARRAY, name: "hot_lru", type: "lru_hash", valueBytes: HOT_ENTRY_BYTES },
    slotMap: { ...ARRAY, name: "hot_guard", type: "array", valueBytes: 16 },
  },
};

/** The policy whose entries a map of this name holds, or null. */
export function policyOfMap(name: string): HotPolicy | null {
  return HOT_POLICIES.find((policy) => POLICY_TABLE[policy].entryMap.name === name) ?? null;
}

/** Entries come in whole sets. */
export function roundedEntries(policy: HotPolicy, entries: number): number {
  const { ways } = POLICY_TABLE[policy];
  return Math.ceil(entries / ways) * ways;
}
