/** Published experiments: the settings they were made with and the points to lay over the curves. */
import bmcCores from "../../../config/experiments/bmc-cores.json" with { type: "json" };
import bmcTraffic from "../../../config/experiments/bmc-traffic.json" with { type: "json" };
import partialOffload from "../../../config/experiments/partial-offload.json" with { type: "json" };
import type { Question } from "./compute.ts";
import type { PublishedName } from "./published.ts";

export type Point = { readonly x: number; readonly y: number; readonly series: "without" | "with" };
export type Preset = {
  readonly title: string;
  readonly source: string;
  readonly note: string;
  readonly question: Question;
  readonly profile: string;
  readonly hits: readonly Point[];
  readonly cores: readonly Point[];
  /** Run again under the curves, with its points. */
  readonly experiment?: PublishedName;
};

const published: Readonly<Record<string, { readonly value: number }>> = bmcCores.published;
const coreCounts = Array.from({ length: bmcCores.params.maxCores }, (_, i) => i + 1);
const point = (series: Point["series"], key: string, x: number): Point[] => {
  const row = published[`${key}.${x}`];
  return row ? [{ x, y: row.value, series }] : [];
};
const { capacityPlain, capacityHot } = partialOffload.published;
const { params } = partialOffload;
const FIFTY_AND_FIVE: Question = {
  rate: params.fastRate + params.slowRate,
  hitRatio: params.fastRate / (params.fastRate + params.slowRate),
  readRatio: 1,
  keyBytes: params.keyBytes,
  valueBytes: params.fastValue,
  cores: 1,
};

export const PRESETS: readonly Preset[] = [
  {
    title: "BMC before memcached, 1 to 8 cores",
    source: bmcCores.source,
    note: "Offered 12 M requests/s, more than fits: what could not be served was dropped, so more than the hit ratio's share of the answers came from the hook. Points: memcached with SO_REUSEPORT alone, and with BMC.",
    question: {
      rate: 1_000_000,
      hitRatio: bmcCores.params.hitRatio,
      readRatio: 1,
      keyBytes: bmcCores.params.keyBytes,
      valueBytes: bmcCores.params.valueBytes,
      cores: 8,
    },
    profile: "xdp-native",
    hits: [],
    cores: coreCounts.flatMap((n) => [...point("without", "sr", n), ...point("with", "total", n)]),
  },
  {
    title: "One core, every request a hit",
    source: "DEM Fig. 4",
    note: "Measured 2.51 times; the price list alone gives more, because it leaves out what a whole server pays beside it: on that machine another 2.2 µs a hit.",
    question: {
      rate: 100_000,
      hitRatio: 1,
      readRatio: 1,
      keyBytes: params.capacityKey,
      valueBytes: params.capacityValue,
      cores: 1,
    },
    profile: "xdp-native",
    hits: [
      { x: 0, y: capacityPlain.value * 1_000, series: "without" },
      { x: 1, y: capacityHot.value * 1_000, series: "with" },
    ],
    cores: [
      { x: 1, y: capacityPlain.value * 1_000, series: "without" },
      { x: 1, y: capacityHot.value * 1_000, series: "with" },
    ],
  },
  {
    title: "50 K fast and 5 K slow requests/s",
    source: "DEM s.3.2, Fig. 6",
    note: "The slow requests' median went from 40.6 to 61.5 µs, wire included, although only 5 of 55 thousand are slow. Lesson 5 shows it.",
    question: FIFTY_AND_FIVE,
    profile: "xdp-native",
    hits: [],
    cores: [],
    experiment: "sockets",
  },
  {
    title: "The same before an AF_XDP server",
    source: "DEM Fig. 9",
    note: "A server that has no stack to save gains less, and its slow requests still wait behind the program.",
    question: FIFTY_AND_FIVE,
    profile: "xdp-native",
    hits: [],
    cores: [],
    experiment: "af-xdp",
  },
  {
    title: "BMC, the less of the traffic it can answer",
    source: bmcTraffic.source,
    note: "The sliders' model takes one value size for all; the published mix of sizes is run again below.",
    question: {
      rate: 1_000_000,
      hitRatio: bmcTraffic.params.hitRatio,
      readRatio: 1,
      keyBytes: bmcTraffic.params.keyBytes,
      valueBytes: bmcTraffic.params.valueBytes,
      cores: bmcTraffic.params.cores,
    },
    profile: "xdp-native",
    hits: [],
    cores: [],
    experiment: "traffic",
  },
];
