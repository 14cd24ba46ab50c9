/**
 * `npm run soak [-- --minutes N] [--workers N]`: the service under everything at once. Clients of all protocols whose every
 * answer is judged (loadtest/coherence/), connections that come and go, slow readers, half-open sockets and
 * oversized requests; with redis-server installed, two nodes on one Redis, else one node. Looked for: wrong
 * answers, growth, leaked sockets and timers. Exit 1 if there is any. See docs/loadtest.md.
 */
import { spawn, spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { requireReusePort } from "../../src/cli/workers/supervisor.ts";
import { Prng } from "../../src/sim/prng.ts";
import { type CoherenceResult, runCoherence } from "../coherence/run.ts";
import { freePort, killAtExit, pinSelf, Service } from "../server.ts";
import { type Ports, prepareTrouble, REFUSED, TROUBLES } from "./trouble.ts";
import { growth, median, megabytes, readVitals, type Vitals } from "./vitals.ts";

const USAGE = "usage: npm run soak -- [--minutes N] [--operations N] [--nodes 1|2] [--workers N] [--seed N]";
/** Several workers need a newer Node than the rest: BMC_NODE may name one. */
const NODE = process.env.BMC_NODE ?? process.execPath;
const WORKERS_MAX = 64;
/** Troublemakers of each kind at a time, on each node. */
const LANES = 2;
/** Between two turns, at most: trouble is to disturb, not to take all there is. */
const BREATH_MS = 1_000;
const LOOK_EVERY_MS = 5_000;
const WARM_UP_MS = 10_000;
/** Closed connections are gone from the kernel's and Node's books within this time. */
const SETTLE_MS = 15_000;
/** Descriptors that may come and go by themselves: a scrape's own connection, Redis's spare one. */
const SLACK = 6;

const log = (line: string): void => void process.stderr.write(`${line}\n`);

function usageError(message: string): never {
  log(`soak: ${message}\n${USAGE}`);
  process.exit(2);
}

function readOptions(argv: string[]) {
  const { values } = (() => {
    try {
      const text = { type: "string" } as const;
      return parseArgs({
        args: argv,
        options: { minutes: text, operations: text, nodes: text, workers: text, seed: text },
      });
    } catch (error) {
      return usageError(error instanceof Error ? error.message : String(error));
    }
  })();
  const whole = (name: string, given: string | undefined, fallback: number, max: number): number => {
    const value = given === undefined ? fallback : Number(given);
    if (!(value > 0 && value <= max)) usageError(`--${name} is '${given}'; allowed: above 0, at most ${max}`);
    return value;
  };
  const hasRedis = spawnSync("redis-server", ["--version"]).status === 0;
  const nodes = whole("nodes", values.nodes, hasRedis ? 2 : 1, 2);
  if (nodes === 2 && !hasRedis) usageError("--nodes 2 needs redis-server, which is not installed");
  return {
    minutes: whole("minutes", values.minutes, 60, 24 * 60),
    operations: whole("operations", values.operations, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
    nodes,
    workers: wholeWorkers(whole("workers", values.workers, 1, WORKERS_MAX)),
    seed: whole("seed", values.seed, Date.now() % 2 ** 31, 2 ** 32),
  };
}

function wholeWorkers(workers: number): number {
  if (!Number.isInteger(workers))
    usageError(`--workers is '${workers}'; allowed: a whole number from 1 to 64`);
  if (workers === 1) return workers;
  const { stdout, error } = spawnSync(NODE, ["--version"], { encoding: "utf8" });
  if (error) usageError(`BMC_NODE is '${NODE}', which does not run: ${error.message}`);
  try {
    requireReusePort(stdout.trim().replace(/^v/, ""));
  } catch {
    usageError(
      `--workers ${workers} needs Node 22.12 or later (SO_REUSEPORT); ${NODE} is ${stdout.trim()}. Run it with a newer one, or name one in BMC_NODE`,
    );
  }
  return workers;
}

async function startRedis(): Promise<{ url: string; stop(): void }> {
  const port = await freePort();
  const args = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
  const child = spawn("redis-server", args, { stdio: ["ignore", "pipe", "inherit"] });
  killAtExit(child);
  for await (const chunk of child.stdout) if (String(chunk).includes("Ready to accept connections")) break;
  return { url: `redis://127.0.0.1:${port}`, stop: () => void child.kill("SIGKILL") };
}

/** Runs the troublemakers until told to stop. @returns what they found, and how often each was at work */
function makeTrouble(ports: Ports, seed: number) {
  let stopped = false;
  const wrong: string[] = [];
  const turns: Record<string, number> = {};
  let refused = 0;
  const lanes = Object.entries(TROUBLES).flatMap(([name, trouble]) =>
    Array.from({ length: LANES }, async (_, lane) => {
      const prng = new Prng(seed, lane + 1);
      while (!stopped) {
        const found = await trouble(ports, prng).catch((error: unknown) => `${name}: ${String(error)}`);
        turns[name] = (turns[name] ?? 0) + 1;
        if (found === REFUSED) refused++;
        else if (found !== null) wrong.push(found);
        await new Promise((resolve) => setTimeout(resolve, prng.below(BREATH_MS)));
      }
    }),
  );
  return {
    wrong,
    turns,
    get refused() {
      return refused;
    },
    async stop(): Promise<void> {
      stopped = true;
      await Promise.all(lanes);
    },
  };
}

const options = readOptions(process.argv.slice(2));
pinSelf();
const redis = options.nodes > 1 ? await startRedis() : null;
const cold = redis === null ? [] : ["--cold", redis.url];
const services = await Promise.all(
  Array.from({ length: options.nodes }, () =>
    Service.start(
      [
        ...["--memcached", "127.0.0.1:0", "--hot-entries", "1024", "--admission", "always"],
        ...["--costs-scale", "0", "--workers", String(options.workers), ...cold],
      ],
      options.workers > 1 ? { node: NODE, everyCore: true } : {},
    ),
  ),
);
const ports = services.map(
  ({ url, memcachedPort }): Ports => ({ http: Number(new URL(url).port), memcached: memcachedPort }),
);
log(
  `soak: ${options.nodes} node(s) of ${options.workers} worker(s)${redis ? " on one Redis" : ""}, ${options.minutes} minutes, seed ${options.seed}`,
);

for (const each of ports) await prepareTrouble(each);
const startedMs = performance.now();
const before = await Promise.all(services.map((service) => readVitals(service, startedMs)));
const series: Vitals[][] = services.map(() => []);
const troubles = ports.map((each, i) => makeTrouble(each, options.seed + i));
const endMs = startedMs + options.minutes * 60_000;

let progress: CoherenceResult | null = null;
const look = setInterval(async () => {
  for (const [i, service] of services.entries()) series[i]?.push(await readVitals(service, startedMs));
  const resident = series.map((each) => megabytes(each.at(-1)?.residentBytes ?? 0)).join(", ");
  log(
    `${((performance.now() - startedMs) / 60_000).toFixed(1)} min: ${progress?.operations ?? 0} operations judged, resident ${resident}`,
  );
}, LOOK_EVERY_MS);

const result = await runCoherence({
  nodes: ports.map(({ http, memcached }) => ({ httpPort: http, memcachedPort: memcached })),
  clientsOfEach: 4,
  keysOfEach: 24,
  seed: options.seed,
  operations: options.operations,
  until: () => performance.now() > endMs,
  onRound: (each) => {
    progress = each;
  },
});
clearInterval(look);
for (const trouble of troubles) await trouble.stop();
await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
const after = await Promise.all(services.map((service) => readVitals(service, startedMs)));

const findings = [...result.violations, ...troubles.flatMap(({ wrong }) => wrong)];
for (const [i, each] of series.entries()) {
  const name = `node ${i + 1}`;
  const grown = growth(each.filter(({ atMs }) => atMs > WARM_UP_MS));
  if (grown !== null) findings.push(`${name}: ${grown}`);
  for (const what of ["descriptors", "activeResources"] as const) {
    const [was, is] = [before[i]?.[what] ?? 0, after[i]?.[what] ?? 0];
    if (is > was + SLACK)
      findings.push(`${name}: ${what} were ${was} at first and are ${is} after all clients left`);
  }
}

const minutes = (performance.now() - startedMs) / 60_000;
const answers = Object.entries(result.answersBy).map(([protocol, n]) => `${protocol} ${n}`);
const turns = Object.keys(TROUBLES).map(
  (name) => `${name} ${troubles.reduce((sum, t) => sum + (t.turns[name] ?? 0), 0)}`,
);
const rows = [
  ["minutes", minutes.toFixed(1)],
  ["operations judged", `${result.operations} (${answers.join(", ")})`],
  ["no answer", `${result.lost}${result.lost > 0 ? ` ${JSON.stringify(result.lostWhy)}` : ""}`],
  ["trouble", turns.join(", ")],
  ["refused", String(troubles.reduce((sum, trouble) => sum + trouble.refused, 0))],
  ...series.map((each, i) => [
    `node ${i + 1}`,
    `resident ${megabytes(median(each.map((v) => v.residentBytes)))} (median), descriptors ${before[i]?.descriptors} -> ${after[i]?.descriptors}, active ${before[i]?.activeResources} -> ${after[i]?.activeResources}`,
  ]),
  ["findings", String(findings.length)],
];
for (const [name, value] of rows) process.stdout.write(`${String(name).padEnd(18)} ${value}\n`);
for (const finding of findings.slice(0, 20)) process.stdout.write(`\n${finding}\n`);
for (const service of services) await service.stop();
redis?.stop();
process.exit(findings.length > 0 ? 1 : 0);
