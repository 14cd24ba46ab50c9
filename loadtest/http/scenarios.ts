/**
 * What `npm run loadtest` plays, as data. A scenario is a list of points; each point is measured with
 * offload on and off in one run, against the same keys, so that every figure has its ratio beside it.
 *
 * Keys meant to be cold carry values of 1,100 bytes, over the hot tier's 1,000, as the slow flow of the
 * published 50 K + 5 K experiment did: they can never be admitted, whatever the admission rule.
 */
export type KeySet = { readonly prefix: string; readonly count: number; readonly valueBytes: number };

export type FlowPlan = {
  readonly name: string;
  /** Share of all connections and of the rate, 0..1. */
  readonly share: number;
  readonly pick: KeyPick;
};

/** `mix`: of 60 requests, `hotOf60` go to the first set, the others to the second, evenly spread. */
export type KeyPick =
  | { readonly kind: "uniform"; readonly keys: KeySet }
  | { readonly kind: "zipf"; readonly keys: KeySet; readonly skew: number }
  | { readonly kind: "mix"; readonly hot: KeySet; readonly cold: KeySet; readonly hotOf60: number };

export type Point = {
  readonly label: string;
  /** Place on the plot's x axis. */
  readonly x: number;
  /** Further arguments of `bmc serve`. */
  readonly args: readonly string[];
  readonly flows: readonly FlowPlan[];
  readonly pipelining?: number;
  /** Share of what offload off can hold, offered to both sides as an open rate; absent: closed loop. */
  readonly load?: number;
};

export type Scenario = {
  readonly name: string;
  readonly title: string;
  readonly question: string;
  readonly xLabel: string;
  readonly points: readonly Point[];
};

export const COLD_VALUE_BYTES = 1_100;
const HOT_KEYS = 1_000;
const hot = (valueBytes = 100): KeySet => ({ prefix: `hot${valueBytes}-`, count: HOT_KEYS, valueBytes });
const cold = (): KeySet => ({ prefix: "cold-", count: 200, valueBytes: COLD_VALUE_BYTES });
const uniform = (keys: KeySet): FlowPlan => ({ name: "all", share: 1, pick: { kind: "uniform", keys } });
const mix = (hotOf60: number): FlowPlan => ({
  name: "all",
  share: 1,
  pick: { kind: "mix", hot: hot(), cold: cold(), hotOf60 },
});

const PROFILES = [
  "userspace-only",
  "xdp-native",
  "xdp-generic",
  "xdp-offload",
  "tc",
  "sk_skb",
  "sk_skb-priority",
  "netkit",
  "kernel-module",
] as const;

export function scenarios(options: { zipfSkew: number }): readonly Scenario[] {
  return [
    {
      name: "all-hot",
      title: "All hot",
      question: "What does the hook gain when every request can be answered at it?",
      xLabel: "pipelining",
      points: [
        { label: "one at a time", x: 1, args: ["--costs-scale", "0"], flows: [uniform(hot())] },
        {
          label: "10 pipelined",
          x: 10,
          args: ["--costs-scale", "0"],
          flows: [uniform(hot())],
          pipelining: 10,
        },
      ],
    },
    {
      name: "all-cold",
      title: "All cold",
      question: "What does standing in the way cost when nothing can be answered at the hook?",
      xLabel: "",
      points: [
        {
          label: "never admitted",
          x: 1,
          args: ["--costs-scale", "0", "--admission", "never"],
          flows: [uniform(hot())],
        },
      ],
    },
    {
      name: "mix",
      title: "55 of 60 requests hot",
      question: "What is left of the gain when 5 of 60 requests must cross?",
      xLabel: "",
      points: [
        { label: "costs off", x: 0, args: ["--costs-scale", "0"], flows: [mix(55)] },
        { label: "modelled costs (scale 1)", x: 1, args: ["--costs-scale", "1"], flows: [mix(55)] },
      ],
    },
    {
      name: "hit-ratio",
      title: "Hit ratio",
      question: "Above which share of hot requests does the hook pay?",
      xLabel: "hot requests, of 60",
      points: [0, 15, 30, 45, 55, 60].map((hotOf60) => ({
        label: `${hotOf60} of 60 hot`,
        x: hotOf60,
        args: ["--costs-scale", "1"],
        flows: [mix(hotOf60)],
      })),
    },
    {
      name: "value-size",
      title: "Value size",
      question: "Where does copying in eBPF, and the 1,000-byte limit, end the gain?",
      xLabel: "value bytes",
      points: [64, 256, 512, 1_000, 2_048, 4_096].map((valueBytes) => ({
        label: `${valueBytes} B`,
        x: valueBytes,
        args: ["--costs-scale", "1"],
        flows: [uniform(hot(valueBytes))],
      })),
    },
    {
      name: "profiles",
      title: "Profiles",
      question: "How much of the modelled gain depends on where the hook sits?",
      xLabel: "",
      points: PROFILES.map((profile, x) => ({
        label: profile,
        x,
        args: ["--costs-scale", "1", "--profile", profile],
        flows: [mix(55)],
      })),
    },
    {
      name: "zipf",
      title: "Zipf keys",
      question: "How much of a skewed key space does a direct-mapped hot tier catch?",
      xLabel: "skew",
      points: [
        {
          label: `skew ${options.zipfSkew}`,
          x: options.zipfSkew,
          args: ["--costs-scale", "0"],
          flows: [
            {
              name: "all",
              share: 1,
              pick: {
                kind: "zipf",
                keys: { prefix: "z-", count: 20_000, valueBytes: 100 },
                skew: options.zipfSkew,
              },
            },
          ],
        },
      ],
    },
    {
      name: "partial-offload",
      title: "50 K fast + 5 K slow, in proportion",
      question: "Do the slow requests get slower when the fast ones are answered at the hook?",
      xLabel: "offered load, share of what offload off holds",
      points: [0.5, 0.8].map((load) => ({
        label: `load ${load}`,
        x: load,
        args: ["--costs-scale", "1"],
        load,
        flows: [
          { name: "fast", share: 50 / 55, pick: { kind: "uniform", keys: hot(1_000) } },
          { name: "slow", share: 5 / 55, pick: { kind: "uniform", keys: cold() } },
        ],
      })),
    },
  ];
}

/** Every key set a point reads, to be stored before it is measured. */
export function keySetsOf(point: Point): readonly KeySet[] {
  return point.flows.flatMap(({ pick }) => (pick.kind === "mix" ? [pick.hot, pick.cold] : [pick.keys]));
}
