/**
 * `npm run bench:http`: what the hook gains and costs on the wire, as ratios in one run. Four servers, one
 * core: a bare `net` server that writes one canned answer (the ceiling), the service all hot, all cold with
 * the program attached, and with offload off. Load from the other core: wrk where installed, else plain
 * sockets here. Rounds are interleaved and medians told, because a machine is never quiet.
 *
 * Two figures a server: requests/s, and CPU microseconds a request. The second holds also where the
 * generator, or a neighbour on the machine, is the bottleneck; the ratios of both are printed.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const CLI = fileURLToPath(new URL("../../dist/cli.js", import.meta.url));
const CONNECTIONS = 64;
const VALUE = "x".repeat(100);
const REQUEST = "GET /kv/bench HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
const TICKS_PER_SECOND = 100; // USER_HZ of Linux
const canPin = spawnSync("taskset", ["--version"]).status === 0;
const scratch = mkdtempSync(join(tmpdir(), "bmc-bench-"));
const hasWrk = spawnSync("wrk", ["--version"]).error === undefined;

const BARE = `
const answer = Buffer.from("HTTP/1.1 200 OK\\r\\ncontent-type: application/octet-stream\\r\\ncache-status: bmc-hot; hit\\r\\ncontent-length: 100\\r\\nDate: Sun, 06 Nov 1994 08:49:37 GMT\\r\\nConnection: keep-alive\\r\\nKeep-Alive: timeout=72\\r\\n\\r\\n" + "x".repeat(100));
const ask = ${REQUEST.length};
require("node:net").createServer({ noDelay: true }, (socket) => {
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    const n = Math.max(1, Math.floor(chunk.length / ask));
    socket.write(n === 1 ? answer : Buffer.concat(Array(n).fill(answer)));
  });
}).listen(0, "127.0.0.1", function () { console.log("http://127.0.0.1:" + this.address().port); });
`;
const serve = (...args: string[]) => [
  CLI,
  "serve",
  "--port",
  "0",
  "--costs-scale",
  "0",
  "--log-level",
  "error",
  ...args,
];
const SERVERS = {
  bare: ["-e", BARE],
  hot: serve("--offload", "on"),
  cold: serve("--offload", "on", "--admission", "never"),
  off: serve("--offload", "off"),
} as const;
type Name = keyof typeof SERVERS;

type Round = { readonly perSecond: number; readonly cpuUs: number };
type Server = { readonly child: ChildProcess; readonly port: number; readonly rounds: Map<number, Round[]> };

const { values } = parseArgs({
  options: { seconds: { type: "string", default: "3" }, rounds: { type: "string", default: "5" } },
});
const seconds = Number(values.seconds);

async function startServer(name: Name): Promise<Server> {
  const node = [process.execPath, ...SERVERS[name]];
  const [file = "", ...args] = canPin ? ["taskset", "-c", "0", ...node] : node;
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "inherit"] });
  const port = await new Promise<number>((resolve, reject) => {
    let text = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      text += chunk;
      const found = /http:\/\/127\.0\.0\.1:(\d+)/.exec(text);
      if (found) resolve(Number(found[1]));
    });
    child.once("exit", (code) => reject(new Error(`${name} exited with ${code}`)));
  });
  if (name !== "bare") {
    const url = `http://127.0.0.1:${port}/kv/bench`;
    await fetch(url, { method: "PUT", body: VALUE });
    for (let i = 0; i < 3; i++) await (await fetch(url)).arrayBuffer();
  }
  return { child, port, rounds: new Map() };
}

/** User and system time of a process so far, in microseconds. */
function cpuUs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1e6) / TICKS_PER_SECOND;
}

/** @returns requests answered */
async function load(port: number, pipelining: number, forSeconds: number): Promise<number> {
  return hasWrk ? loadByWrk(port, pipelining, forSeconds) : loadHere(port, pipelining, forSeconds);
}

async function loadByWrk(port: number, pipelining: number, forSeconds: number): Promise<number> {
  const lua = `local r = {} for i = 1, ${pipelining} do r[i] = "${REQUEST.replaceAll("\r\n", "\\r\\n")}" end
local all = table.concat(r) request = function() return all end`;
  const path = join(scratch, `pipeline-${pipelining}.lua`);
  writeFileSync(path, lua);
  const args = [
    "-t1",
    `-c${CONNECTIONS}`,
    `-d${forSeconds}s`,
    "-s",
    path,
    `http://127.0.0.1:${port}/kv/bench`,
  ];
  const [file = "", ...rest] = canPin ? ["taskset", "-c", "1", "wrk", ...args] : ["wrk", ...args];
  const child = spawn(file, rest, { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => {
    text += chunk;
  });
  await new Promise((resolve) => child.once("close", resolve));
  if (/Non-2xx|Socket errors/.test(text)) throw new Error(`errors under load:\n${text}`);
  return Number(/(\d+) requests in/.exec(text)?.[1] ?? 0);
}

async function loadHere(port: number, pipelining: number, forSeconds: number): Promise<number> {
  const batch = Buffer.from(REQUEST.repeat(pipelining));
  const answerBytes = await oneAnswer(port);
  let answered = 0;
  const sockets = Array.from({ length: CONNECTIONS }, () => {
    const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
    let open = pipelining * answerBytes;
    socket.on("connect", () => socket.write(batch));
    socket.on("data", (chunk) => {
      open -= chunk.length;
      if (open > 0) return;
      answered += pipelining;
      open = pipelining * answerBytes;
      socket.write(batch);
    });
    return socket;
  });
  await new Promise((resolve) => setTimeout(resolve, 1000 * forSeconds));
  for (const socket of sockets) socket.destroy();
  return answered;
}

function oneAnswer(port: number): Promise<number> {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: "127.0.0.1" });
    socket.write(REQUEST);
    socket.once("data", (chunk) => {
      socket.destroy();
      resolve(chunk.length);
    });
  });
}

const median = (all: readonly number[]) =>
  [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)] ?? Number.NaN;

async function main(): Promise<void> {
  if (canPin) spawnSync("taskset", ["-a", "-p", "-c", "1", String(process.pid)]);
  const names = Object.keys(SERVERS) as Name[];
  const servers = new Map<Name, Server>();
  for (const name of names) servers.set(name, await startServer(name));
  try {
    for (const pipelining of [1, 10]) {
      for (const { port } of servers.values()) await load(port, pipelining, 2);
      for (let round = 0; round < Number(values.rounds); round++) {
        for (const { child, port, rounds } of servers.values()) {
          const before = cpuUs(child.pid ?? 0);
          const requests = await load(port, pipelining, seconds);
          const cpu = (cpuUs(child.pid ?? 0) - before) / requests;
          const list = rounds.get(pipelining) ?? [];
          list.push({ perSecond: requests / seconds, cpuUs: cpu });
          rounds.set(pipelining, list);
        }
      }
    }
  } finally {
    for (const { child } of servers.values()) child.kill("SIGTERM");
    rmSync(scratch, { recursive: true, force: true });
  }
  report(servers);
}

function report(servers: ReadonlyMap<Name, Server>): void {
  const of = (name: Name, pipelining: number, key: keyof Round) =>
    median((servers.get(name)?.rounds.get(pipelining) ?? []).map((round) => round[key]));
  console.log(
    `generator: ${hasWrk ? "wrk" : "plain sockets"}, ${CONNECTIONS} connections, ${values.rounds} rounds of ${seconds} s, medians`,
  );
  for (const pipelining of [1, 10]) {
    for (const name of servers.keys()) {
      const rate = Math.round(of(name, pipelining, "perSecond"));
      console.log(
        `pipelining ${pipelining}\t${name}\t${rate} req/s\t${of(name, pipelining, "cpuUs").toFixed(2)} us CPU/req`,
      );
    }
  }
  const ratio = (what: string, a: Name, b: Name, pipelining: number, goal: string) => {
    const byRate = of(a, pipelining, "perSecond") / of(b, pipelining, "perSecond");
    const byCpu = of(b, pipelining, "cpuUs") / of(a, pipelining, "cpuUs");
    console.log(`${what}\t${byRate.toFixed(2)} by rate, ${byCpu.toFixed(2)} by CPU\t(goal ${goal})`);
  };
  ratio("all hot / offload off", "hot", "off", 1, ">= 2.5");
  ratio("all hot / bare net server", "hot", "bare", 1, ">= 0.9");
  ratio("all cold / offload off", "cold", "off", 1, ">= 0.9");
  ratio("all hot / offload off, 10 pipelined", "hot", "off", 10, ">= 5");
}

await main();
