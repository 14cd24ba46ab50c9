/**
 * A published experiment run again by the simulator, with the published points on the same axes. These are
 * the experiment's own settings, not the sliders': what was measured there included a wire and a client, and
 * the experiment's model says what it adds for them.
 */
import bmcTraffic from "../../../config/experiments/bmc-traffic.json" with { type: "json" };
import partialOffload from "../../../config/experiments/partial-offload.json" with { type: "json" };
import { Lab, type Series } from "../../sim/experiment.ts";
import { parseExperiment } from "../../sim/experiment-file.ts";
import { KINDS } from "../../sim/experiments/kinds.ts";
import { PROFILES, profile } from "../profiles.ts";
import type { Curve } from "./compute.ts";
import type { Point } from "./presets.ts";

export type PublishedName = "traffic" | "sockets" | "af-xdp";
export type PublishedRun = {
  readonly title: string;
  readonly xAxis: "share" | "percentile";
  readonly note: string;
  readonly curve: Curve;
  readonly points: readonly Point[];
};

/** Simulated requests a point: a few seconds in a browser. */
const REQUESTS = 40_000;
const { baseUs, afXdpBaseUs } = partialOffload.params;
const wire = (us: number) =>
  `Latency as a client sees it: simulated time plus ${us} µs for wire and client, a constant fitted on the first percentile without the program.`;

type Row = {
  readonly file: unknown;
  readonly plot: string;
  readonly title: string;
  readonly xAxis: PublishedRun["xAxis"];
  readonly note: string;
  readonly series: Readonly<Record<"without" | "with", readonly [simulated: string, published: string]>>;
};
const SLOW = {
  without: ["slow off", "slow off, published"],
  with: ["slow on", "slow on, published"],
} as const;

const ROWS: Readonly<Record<PublishedName, Row>> = {
  traffic: {
    file: bmcTraffic,
    plot: "traffic",
    title: "Requests/s answered, over the share BMC can answer; the rest ask for 8 KiB values",
    xAxis: "share",
    note: "12 M requests/s offered to 8 cores; what does not fit is dropped, in the model as in the measurement.",
    series: {
      without: ["SO_REUSEPORT alone", "SO_REUSEPORT alone, published"],
      with: ["with BMC, total", "with BMC, total, published"],
    },
  },
  sockets: {
    file: partialOffload,
    plot: "latency-sockets",
    title: "Latency of the slow requests, over the percentile (DEM Fig. 6)",
    xAxis: "percentile",
    note: wire(baseUs),
    series: SLOW,
  },
  "af-xdp": {
    file: partialOffload,
    plot: "latency-afXdp",
    title: "Latency of the slow requests before an AF_XDP server, over the percentile (DEM Fig. 9)",
    xAxis: "percentile",
    note: wire(afXdpBaseUs),
    series: SLOW,
  },
};

export function runPublished(name: PublishedName): PublishedRun {
  const { file, plot: wanted, title, xAxis, note, series } = ROWS[name];
  const experiment = parseExperiment(file, name, [...PROFILES.keys()]);
  const { params, seed } = experiment;
  const lab = new Lab(experiment, { params, seed, requests: REQUESTS, profile });
  const kind = KINDS[experiment.kind];
  if (!kind) throw new Error(`no kind '${experiment.kind}'`);
  const plotOf = () => lab.report(false).plots.find((plot) => plot.name === wanted);
  // What the experiment shows beside the plot wanted is not waited for.
  for (const _step of kind.run(lab)) if (plotOf()) break;
  const plot = plotOf();
  if (!plot) throw new Error(`the experiment drew no '${wanted}'`);
  const of = (seriesName: string) =>
    (plot.series.find((s) => s.name === seriesName)?.points ?? []).map(axes(xAxis));
  const [without, withIt] = [of(series.without[0]), of(series.with[0])];
  const at = (points: readonly XY[], x: number) => points.find((point) => point[0] === x)?.[1] ?? null;
  const xs = without.map(([x]) => x);
  const points = (["without", "with"] as const).flatMap((side) =>
    of(series[side][1]).map(([x, y]): Point => ({ x, y, series: side })),
  );
  const curve: Curve = [xs, without.map(([, y]) => y), xs.map((x) => at(withIt, x))];
  return { title, xAxis, note, curve, points };
}

type XY = readonly [number, number];

/** Plots of the experiments have percent, and latency across: here a share or a percentile is across. */
function axes(xAxis: PublishedRun["xAxis"]): (point: Series["points"][number]) => XY {
  return xAxis === "share" ? ([percent, y]) => [percent / 100, y] : ([us, quantile]) => [quantile, us];
}
