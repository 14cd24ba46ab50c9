/**
 * `npm run bench:workers`: throughput of 1 and of 2 workers over one hot tier, as ratios in one run, all hot. The load
 * generator needs a core, too, and with two cores there is none left for it once both workers have one. So each
 * pair is measured twice: as it is, where the generator takes its share, and with every modelled cost dilated until a
 * request keeps a worker busy for about HEAVY_US, where the generator's few microseconds hardly count.
 *
 * CPU time a request holds in both: what a shared memory and its locks cost is the ratio of those. Needs a Node with
 * `reusePort` (22.12): this one, or the one BMC_NODE names.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { requireReusePort } from "../../src/cli/workers/supervisor.ts";

const CLI = fileURLToPath(new URL("../../dist/cli.js", import.meta.url));
const CONNECTIONS = 64;
const TICKS_PER_SECOND = 100; // USER_HZ of Linux
const HEAVY_US = 200;

const { values } = parseArgs({
  options: { seconds: { type: "string", default: "2" }, rounds: { type: "string", default: "5" } },
});
const seconds = Number(values.seconds);
const node = process.env.BMC_NODE ?? process.execPath;

type Round = { readonly perSecond: number; readonly cpuUs: number };
type Server = {
  readonly name: string;
  readonly child: ChildProcess;
  readonly url: string;
  readonly rounds: Round[];
};

async function start(name: string, workers: number, scale: number): Promise<Server> {
  const args = ["serve", "--port", "0", "--workers", String(workers), "--costs-scale", String(scale)];
  const child = spawn(node, [CLI, ...args, "--admission", "always", "--lab", "off", "--log-level", "error"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const base = await new Promise<string>((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk;
      const found = /http:\/\/127\.0\.0\.1:\d+/.exec(text);
      if (found) resolve(found[0]);
    });
    child.once("exit", (code) => reject(new Error(`bmc serve --workers ${workers} exited with ${code}`)));
  });
  const url = `${base}/kv/bench`;
  await fetch(url, { method: "PUT", body: "x".repeat(100) });
  await (await fetch(url)).arrayBuffer();
  return { name, child, url, rounds: [] };
}

/** User and system time of all threads so far, in microseconds. */
function cpuUs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1e6) / TICKS_PER_SECOND;
}

async function load(url: string, forSeconds: number): Promise<number> {
  const child = spawn("wrk", ["-t1", `-c${CONNECTIONS}`, `-d${forSeconds}s`, url], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => {
    text += chunk;
  });
  await new Promise((resolve) => child.once("close", resolve));
  if (/Non-2xx|Socket errors/.test(text)) throw new Error(`errors under load:\n${text}`);
  const [, requests = "0", took = "1"] = /(\d+) requests in ([\d.]+)s/.exec(text) ?? [];
  return Number(requests) / Number(took);
}

const median = (all: readonly number[]) =>
  [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)] ?? Number.NaN;

/** What the profile charges a hot answer, in nanoseconds: from a server that counts and does not pay. */
async function modelledHotNs(): Promise<number> {
  const server = await start("probe", 1, 0);
  for (let i = 0; i < 20; i++) await (await fetch(server.url)).arrayBuffer();
  const text = await (await fetch(new URL("/metrics", server.url))).text();
  server.child.kill("SIGTERM");
  const of = (what: string) =>
    Number(new RegExp(`bmc_request_modelled_seconds_${what}\\{tier="hot"\\} (\\S+)`).exec(text)?.[1]);
  return (of("sum") / of("count")) * 1e9;
}

async function main(): Promise<void> {
  if (spawnSync("wrk", ["--version"]).error) throw new Error("bench:workers needs wrk");
  requireReusePort(spawnSync(node, ["--version"]).stdout.toString().trim().replace(/^v/, ""));
  const scale = Math.round((HEAVY_US * 1000) / (await modelledHotNs()));
  const cases = [
    ["as it is", 0],
    [`costs x ${scale}: some ${HEAVY_US} us a request`, scale],
  ] as const;
  console.log(
    `${availableParallelism()} cores for workers and generator together, Node ${spawnSync(node, ["--version"]).stdout.toString().trim()}, wrk with ${CONNECTIONS} connections, all hot, ${values.rounds} rounds of ${seconds} s, medians`,
  );
  for (const [what, costsScale] of cases) {
    const servers: Server[] = [];
    try {
      for (const workers of [1, 2]) servers.push(await start(`${workers}`, workers, costsScale));
      for (const { url } of servers) await load(url, 2);
      for (let round = 0; round < Number(values.rounds); round++) {
        for (const { url, child, rounds } of servers) {
          const before = cpuUs(child.pid ?? 0);
          const perSecond = await load(url, seconds);
          rounds.push({ perSecond, cpuUs: (cpuUs(child.pid ?? 0) - before) / (perSecond * seconds) });
        }
      }
    } finally {
      for (const { child } of servers) child.kill("SIGTERM");
    }
    console.log(`\n${what}`);
    for (const { name, rounds } of servers) {
      const rate = median(rounds.map(({ perSecond }) => perSecond));
      const cpu = median(rounds.map((round) => round.cpuUs));
      // Fewer than there are workers: the generator, or a neighbour on the machine, had the rest.
      const cores = (rate * cpu) / 1e6;
      console.log(
        `  ${name} worker(s)\t${Math.round(rate)} req/s\t${cpu.toFixed(2)} us CPU/req\ton ${cores.toFixed(2)} cores`,
      );
    }
    const ratio = (key: keyof Round) => {
      const [one, two] = servers.map(({ rounds }) => median(rounds.map((round) => round[key])));
      return ((two ?? Number.NaN) / (one ?? Number.NaN)).toFixed(2);
    };
    const ideal = (2 / Number(ratio("cpuUs"))).toFixed(2);
    console.log(
      `  2 / 1: throughput ${ratio("perSecond")}, CPU a request ${ratio("cpuUs")} (with a core for each worker that is ${ideal} times the throughput)`,
    );
  }
}

await main();
