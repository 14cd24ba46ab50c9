/**
 * `npm run bench:overload`: three times more than the service can do. Measured in one run: what it can do when
 * everything crosses (closed loop), then an open load of three times that beside a thin flow for one hot key:
 * what was answered, what was turned away and how, the hot key's p99 before and meanwhile, and how soon after
 * the load ended a cold request is answered as before. Costs are injected (`--costs-scale`), so that capacity is the
 * model's and a generator on one core can exceed it.
 */
import { parseArgs } from "node:util";
import { drive, type FlowResult } from "../http/drive.ts";
import { pinSelf, Service } from "../server.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "5" },
    scale: { type: "string", default: "20" },
    pending: { type: "string", default: "64" },
  },
});
const seconds = Number(values.seconds);
const COLD_CONNECTIONS = 512;
const OVER = 3;
const HOT_PER_SECOND = 200;
const RECOVERED_MS = 50;
const ACCEPTED_MS = 1_000;

pinSelf();
process.env.BMC_COLD_MAX_PENDING = values.pending;
const service = await Service.start(["--costs-scale", values.scale, "--admission", "always"]);
const url = (key: string) => `${service.url}/kv/${key}`;
// Over the hot tier's limit: every request for it crosses.
await fetch(url("cold"), { method: "PUT", body: "c".repeat(1_100) });
await fetch(url("hot"), { method: "PUT", body: "h".repeat(100) });
for (let i = 0; i < 3; i++) await (await fetch(url("hot"))).arrayBuffer();

const flow = (name: "hot" | "cold", connections: number, ratePerSecond?: number, durationSeconds = seconds) =>
  drive(service.url, {
    name,
    connections,
    pipelining: 1,
    durationSeconds,
    requests: () => [{ method: "GET", path: `/kv/${name}` }],
    ...(ratePerSecond !== undefined && { ratePerSecond }),
  });

const alone = await flow("hot", 4, HOT_PER_SECOND);
const capacity = await flow("cold", 64);
const offered = Math.round(capacity.requestsPerSecond * OVER);
const before = await service.scrape();
const coldFlow = flow("cold", COLD_CONNECTIONS, offered);
// Node accepts one connection in a turn of the event loop: those of the load come first, and are not what is measured.
await new Promise((resolve) => setTimeout(resolve, ACCEPTED_MS));
const [hot, cold] = await Promise.all([
  flow("hot", 4, HOT_PER_SECOND, seconds - ACCEPTED_MS / 1_000),
  coldFlow,
]);
const endMs = performance.now();
let status = 0;
let recoveredMs = Number.NaN;
while (performance.now() - endMs < 10_000) {
  const sentMs = performance.now();
  const response = await fetch(url("cold"));
  await response.arrayBuffer();
  status = response.status;
  if (status === 200 && performance.now() - sentMs < RECOVERED_MS) {
    recoveredMs = performance.now() - endMs;
    break;
  }
}
const after = await service.scrape();
await service.stop();

const perSecond = (n: number, { seconds: took }: FlowResult) => `${Math.round(n / took)}/s`;
const rows = [
  ["capacity, all cold", perSecond(capacity.requests, capacity)],
  ["offered", `${offered}/s over ${COLD_CONNECTIONS} connections (${OVER} x)`],
  ["sent", perSecond(cold.requests, cold)],
  ["answered", perSecond(cold.requests - cold.non2xx, cold)],
  [
    "turned away (503)",
    `${perSecond(cold.non2xx, cold)}; bmc_shed_total ${after.sum("bmc_shed_total") - before.sum("bmc_shed_total")}`,
  ],
  ["errors, timeouts", `${cold.errors}, ${cold.timeouts}`],
  ["hot p99, alone", `${alone.latencyMs.hot.p99.toFixed(1)} ms`],
  [
    "hot p99, meanwhile",
    `${hot.latencyMs.hot.p99.toFixed(1)} ms (answered hot: ${hot.latencyMs.hot.count}, not: ${hot.latencyMs.cold.count})`,
  ],
  [
    "recovered after",
    Number.isNaN(recoveredMs) ? `not within 10 s (last status ${status})` : `${Math.round(recoveredMs)} ms`,
  ],
];
for (const [name, value] of rows) process.stdout.write(`${String(name).padEnd(20)} ${value}\n`);
