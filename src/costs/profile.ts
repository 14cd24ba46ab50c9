/**
 * Cost profiles: one named set of prices for one data path, as data with sources. A profile is a JSON
 * file under config/profiles/; `parseProfile` checks it whole, so the arithmetic in ledger.ts needs no
 * guard. Every price carries its unit, its source tag and where in the source it stands; a derived or
 * assumed one says how.
 */
import type { FactKey } from "./facts.ts";

/** Source tags of docs/costs.md. `seed` marks the source text's own, often unsourced, numbers. */
export const SOURCES = {
  DEM: "Shahinfar et al., Demystifying Performance of eBPF Network Applications, PACMNET 3 (CoNEXT3) 2025",
  "DEM-art": "artifact of the same paper, raw result files",
  CH: "P. Chaigno, post on BMC of 2021-04-12, plot data",
  "BMC-code": "BMC source code",
  XDP: "Hoiland-Jorgensen et al., The eXpress Data Path, CoNEXT'18",
  XRP: "XRP, OSDI'22 Table 1 (secondary)",
  web: "secondary web source, weak",
  seed: "the source text's own claim",
  derived: "arithmetic on cited numbers, given in ref",
  assumed: "no figure published; the assumption is given in ref",
  none: "does not occur on this path",
} as const satisfies Readonly<Record<string, string>>;
export type SourceTag = keyof typeof SOURCES;

/**
 * One row a price. `per`: the fact it multiplies; null for prices only the simulator uses. Stages are
 * what a ledger shows, in the order a request meets them.
 */
export const PRICES = [
  { key: "driver", stage: "driver", per: "packets", unit: "ns/packet" },
  { key: "hookReach", stage: "hook", per: "hookRuns", unit: "ns/run" },
  { key: "hookEnter", stage: "hook", per: "hookRuns", unit: "ns/run" },
  { key: "instruction", stage: "instructions", per: "instructions", unit: "ns/instruction" },
  { key: "arrayLookup", stage: "helpers", per: "arrayLookups", unit: "ns/lookup" },
  { key: "hashLookup", stage: "helpers", per: "hashLookups", unit: "ns/lookup" },
  { key: "lruLookup", stage: "helpers", per: "lruLookups", unit: "ns/lookup" },
  { key: "helperCall", stage: "helpers", per: "helperCalls", unit: "ns/call" },
  { key: "tailCall", stage: "helpers", per: "tailCalls", unit: "ns/call" },
  { key: "clockRead", stage: "helpers", per: "clockReads", unit: "ns/call" },
  { key: "lock", stage: "helpers", per: "locks", unit: "ns/lock" },
  { key: "ebpfByte", stage: "ebpf copy", per: "ebpfBytes", unit: "ns/B" },
  { key: "hookReply", stage: "hook reply", per: "hookReplies", unit: "ns/reply" },
  { key: "stackIn", stage: "stack", per: "stackIn", unit: "ns/request" },
  { key: "stackOut", stage: "stack", per: "stackOut", unit: "ns/reply" },
  { key: "crossing", stage: "crossings", per: "crossings", unit: "ns/crossing" },
  { key: "nativeByte", stage: "native copy", per: "nativeBytes", unit: "ns/B" },
  { key: "storeOp", stage: "store", per: "storeOps", unit: "ns/op" },
  { key: "contextSwitch", stage: "scheduling", per: null, unit: "ns/switch" },
] as const satisfies readonly { key: string; stage: string; per: FactKey | null; unit: string }[];

export type PriceKey = (typeof PRICES)[number]["key"];
export type Stage = (typeof PRICES)[number]["stage"];

export type Price = {
  readonly value: number;
  readonly unit: string;
  readonly source: SourceTag;
  /** Table, figure or the derivation. */
  readonly ref: string;
  /** Width of the interquartile range where one is published, same unit. */
  readonly iqr: number | null;
};

/** A statement shown with the profile, never summed into a request. */
export type Claim = { readonly text: string; readonly source: SourceTag; readonly verdict: string };

/** Where the hook's work runs: `softirq` competes with userspace for the core, `nic` and `none` do not. */
export type RunsOn = "softirq" | "nic" | "user" | "none";

export type Profile = {
  readonly name: string;
  readonly title: string;
  readonly summary: string;
  /** Kind of attachment point, or null where no program is attached. */
  readonly hook: "xdp" | "tc" | "sk_skb" | "netkit" | "module" | null;
  readonly runsOn: RunsOn;
  /** How userspace work is ordered on its core. */
  readonly scheduling: "fifo" | "priority";
  /** Userspace spins on the device instead of sleeping: no wake-up, the core is always busy. */
  readonly busyPoll: boolean;
  readonly claims: readonly Claim[];
  readonly prices: Readonly<Record<PriceKey, Price>>;
  /** The values of `prices` alone, for arithmetic. */
  readonly ns: Readonly<Record<PriceKey, number>>;
};

/** A bad profile: a user's mistake, one line naming the key. */
export class ProfileError extends Error {
  readonly exitCode = 2;
}

const HOOKS = ["xdp", "tc", "sk_skb", "netkit", "module", null] as const;
const RUNS_ON = ["softirq", "nic", "user", "none"] as const;
const SCHEDULING = ["fifo", "priority"] as const;
const PROFILE_KEYS = ["title", "summary", "hook", "runsOn", "scheduling", "busyPoll", "claims", "prices"];
const PRICE_FIELDS = ["value", "unit", "source", "ref", "iqr"];
const CLAIM_FIELDS = ["text", "source", "verdict"];

type Json = Readonly<Record<string, unknown>>;

/** @throws ProfileError with one line naming the key, what was given and what is allowed. */
export function parseProfile(json: unknown, name: string): Profile {
  const fail = (key: string, given: unknown, allowed: string): never => {
    throw new ProfileError(`profile '${name}': ${key} is ${show(given)}; allowed: ${allowed}`);
  };
  const object = (key: string, given: unknown, known: readonly string[]): Json => {
    if (typeof given !== "object" || given === null || Array.isArray(given)) fail(key, given, "an object");
    for (const k of Object.keys(given as Json)) {
      if (!known.includes(k)) {
        throw new ProfileError(`profile '${name}': unknown key ${key}.${k}; allowed: ${known.join(", ")}`);
      }
    }
    return given as Json;
  };
  const text = (key: string, given: unknown): string =>
    typeof given === "string" && given.length > 0 ? given : fail(key, given, "a non-empty text");
  const oneOf = <T>(key: string, given: unknown, options: readonly T[]): T =>
    options.includes(given as T) ? (given as T) : fail(key, given, options.map((o) => show(o)).join(", "));
  const amount = (key: string, given: unknown): number =>
    typeof given === "number" && Number.isFinite(given) && given >= 0
      ? given
      : fail(key, given, "a finite number >= 0");
  const source = (key: string, given: unknown): SourceTag =>
    oneOf(key, given, Object.keys(SOURCES) as SourceTag[]);

  const top = object("profile", json, PROFILE_KEYS);
  const given = object(
    "prices",
    top.prices,
    PRICES.map((p) => p.key),
  );
  const prices = {} as Record<PriceKey, Price>;
  const ns = {} as Record<PriceKey, number>;
  for (const { key, unit } of PRICES) {
    const at = `prices.${key}`;
    const row = object(at, given[key], PRICE_FIELDS);
    prices[key] = {
      value: amount(`${at}.value`, row.value),
      unit: oneOf(`${at}.unit`, row.unit, [unit]),
      source: source(`${at}.source`, row.source),
      ref: text(`${at}.ref`, row.ref),
      iqr: row.iqr === undefined ? null : amount(`${at}.iqr`, row.iqr),
    };
    ns[key] = prices[key].value;
  }
  const claims = top.claims ?? [];
  if (!Array.isArray(claims)) fail("claims", claims, "a list");
  return {
    name,
    title: text("title", top.title),
    summary: text("summary", top.summary),
    hook: oneOf("hook", top.hook, HOOKS),
    runsOn: oneOf("runsOn", top.runsOn, RUNS_ON),
    scheduling: oneOf("scheduling", top.scheduling, SCHEDULING),
    busyPoll: oneOf("busyPoll", top.busyPoll, [true, false]),
    claims: (claims as unknown[]).map((claim, i) => {
      const row = object(`claims[${i}]`, claim, CLAIM_FIELDS);
      return {
        text: text(`claims[${i}].text`, row.text),
        source: source(`claims[${i}].source`, row.source),
        verdict: text(`claims[${i}].verdict`, row.verdict),
      };
    }),
    prices,
    ns,
  };
}

function show(value: unknown): string {
  return value === undefined ? "missing" : JSON.stringify(value);
}
