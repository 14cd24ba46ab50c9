/** From measured points to report sections: errors first, then rates, then latency per tier. */
import type { Section } from "../report.ts";
import { TIERS } from "./drive.ts";
import type { Measured, Side } from "./measure.ts";
import type { Scenario } from "./scenarios.ts";

/** Under this share of a core the server waited for the generator, and a ratio of rates says little. */
const GENERATOR_BOUND_BELOW = 0.9;
/** A rate that was asked for counts as achieved within this. */
const RATE_TOLERANCE = 0.03;

export function sectionOf(scenario: Scenario, measured: readonly Measured[]): Section {
  return {
    title: scenario.title,
    text: scenario.question,
    tables: [errorsTable(measured), ratesTable(measured), flowsTable(measured), tiersTable(measured)],
    plots: [
      {
        title: "Requests per second",
        unit: "req/s",
        series: ["offload off", "offload on"],
        groups: measured.map(({ point, on, off }) => ({
          label: point.label,
          values: [off.requestsPerSecond, on.requestsPerSecond],
        })),
      },
      {
        title: "Server CPU per request",
        unit: "µs",
        series: ["offload off", "offload on"],
        groups: measured.map(({ point, on, off }) => ({
          label: point.label,
          values: [off.serverCpuUsPerRequest, on.serverCpuUsPerRequest],
        })),
      },
    ],
  };
}

const sides = ({ on, off }: Measured): readonly Side[] => [off, on];

function errorsTable(measured: readonly Measured[]): Section["tables"][number] {
  return {
    caption: "Errors and warm-up",
    columns: ["point", "offload", "errors", "time-outs", "non-2xx", "warm-up windows", "hot share settled"],
    rows: measured.flatMap((m) =>
      sides(m).map((side) => [
        m.point.label,
        side.offload,
        sum(side, (f) => f.errors),
        sum(side, (f) => f.timeouts),
        sum(side, (f) => f.non2xx),
        side.warmUp.windows,
        side.warmUp.settled ? "yes" : "NO: figures below include warm-up",
      ]),
    ),
  };
}

function ratesTable(measured: readonly Measured[]): Section["tables"][number] {
  return {
    caption: "Throughput",
    columns: [
      "point",
      "off req/s",
      "on req/s",
      "on / off",
      "off CPU µs/req",
      "on CPU µs/req",
      "off / on",
      "bound by",
    ],
    rows: measured.map(({ point, on, off }) => [
      point.label,
      off.requestsPerSecond,
      on.requestsPerSecond,
      on.requestsPerSecond / off.requestsPerSecond,
      off.serverCpuUsPerRequest,
      on.serverCpuUsPerRequest,
      off.serverCpuUsPerRequest / on.serverCpuUsPerRequest,
      boundBy(point.load !== undefined, on),
    ]),
  };
}

function boundBy(isOpenLoop: boolean, side: Side): string {
  if (isOpenLoop) return "offered rate";
  return side.serverCpuShare < GENERATOR_BOUND_BELOW ? "generator (with offload on)" : "server";
}

function flowsTable(measured: readonly Measured[]): Section["tables"][number] {
  return {
    caption: "Client-side latency, milliseconds",
    columns: [
      "point",
      "offload",
      "flow",
      "tier",
      "requests",
      "p50",
      "p99",
      "p99.9",
      "max",
      "rate",
      "coordinated omission",
    ],
    rows: measured.flatMap((m) =>
      sides(m).flatMap((side) =>
        side.flows.flatMap((flow) =>
          TIERS.filter((tier) => flow.latencyMs[tier].count > 0).map((tier) => {
            const { count, p50, p99, p999, max } = flow.latencyMs[tier];
            return [
              m.point.label,
              side.offload,
              flow.flow,
              tier,
              count,
              p50,
              p99,
              p999,
              max,
              rateNote(flow.requestedRate, flow.requestsPerSecond),
              flow.correction,
            ];
          }),
        ),
      ),
    ),
  };
}

function rateNote(requested: number | null, achieved: number): string {
  if (requested === null) return "as fast as answered";
  const missed = Math.abs(achieved - requested) > RATE_TOLERANCE * requested;
  return `${Math.round(achieved)} of ${requested}/s${missed ? " NOT ACHIEVED" : ""}`;
}

function tiersTable(measured: readonly Measured[]): Section["tables"][number] {
  return {
    caption: "Server-side, by tier: observed and modelled microseconds",
    columns: [
      "point",
      "offload",
      "hot share %",
      "tier",
      "hits",
      "observed p50",
      "observed p99",
      "observed p99.9",
      "modelled p50",
      "modelled p99",
    ],
    rows: measured.flatMap((m) =>
      sides(m).flatMap(({ offload, server }) =>
        TIERS.filter((tier) => server.hits[tier] > 0).map((tier) => [
          m.point.label,
          offload,
          100 * server.hotShare,
          tier,
          server.hits[tier],
          server.observedUs[tier].p50Us,
          server.observedUs[tier].p99Us,
          server.observedUs[tier].p999Us,
          server.modelledUs[tier].p50Us,
          server.modelledUs[tier].p99Us,
        ]),
      ),
    ),
  };
}

function sum(side: Side, read: (flow: Side["flows"][number]) => number): number {
  return side.flows.reduce((total, flow) => total + read(flow), 0);
}
