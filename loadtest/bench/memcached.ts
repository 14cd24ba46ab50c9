/**
 * `npm run bench:memcached`: what the memcached server reaches of the ceiling that Node's sockets set, and
 * beside Debian's memcached. All in one run, in turns, so that the ratios hold on a noisy machine; each
 * server runs on a core of its own where taskset is there. Of requests/s the best of the rounds counts, of
 * processor time the median: it holds also where a neighbour, or the generator, is the bottleneck.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { pathToFileURL } from "node:url";
import { formatCell } from "../format.ts";
import { drive, fill, type Load } from "../memcached/generator.ts";
import { compareHooks, hookTable } from "../memcached/hooks-compared.ts";
import type { Workload } from "../memcached/workload.ts";
import { canPin, cpuUsOf, freePort, killAtExit, pinSelf, SERVER_CORE, Service } from "../server.ts";

const VALUE_BYTES = 100;
const ONE: Workload = {
  keys: 100,
  zipfSkew: 0.99,
  sizes: [[VALUE_BYTES, 1]],
  setShare: 0,
  keysPerGet: 1,
  seed: 1,
};
const MANY: Workload = { ...ONE, sizes: [[10, 1]], keysPerGet: 30 };

type Shape = Pick<Load, "transport" | "connections" | "depth"> & {
  readonly name: string;
  readonly workload: Workload;
};
const UDP = { transport: "udp", connections: 4, depth: 32 } as const;
const SHAPES = {
  udp: { ...UDP, name: "UDP GET", workload: ONE },
  multi: { ...UDP, name: "UDP multi-get of 30", workload: MANY },
  tcp: { transport: "tcp", connections: 64, depth: 1, name: "TCP GET", workload: ONE },
  pipelined: { transport: "tcp", connections: 16, depth: 10, name: "TCP GET, 10 deep", workload: ONE },
} as const satisfies Record<string, Shape>;
type ShapeName = keyof typeof SHAPES;

/** The ceilings: servers that do not look at what they are asked. */
const BARE_UDP = `const s=require("dgram").createSocket("udp4");const v=Buffer.from("VALUE memkey:00000000 0 ${VALUE_BYTES}\\r\\n"+"x".repeat(${VALUE_BYTES})+"\\r\\nEND\\r\\n");
s.on("message",(m,r)=>{const b=Buffer.concat([m.subarray(0,8),v]);s.send(b,r.port,r.address)});s.bind(+process.argv[1],"127.0.0.1")`;
const BARE_TCP = `const v="VALUE memkey:00000000 0 ${VALUE_BYTES}\\r\\n"+"x".repeat(${VALUE_BYTES})+"\\r\\nEND\\r\\n";const n=Array.from({length:65},(_,i)=>Buffer.from(v.repeat(i)));
require("net").createServer({noDelay:true},(s)=>{s.on("error",()=>{});s.on("data",(c)=>{let k=0;for(let i=c.indexOf(10);i>=0;i=c.indexOf(10,i+1))k++;s.write(n[k]||Buffer.from(v.repeat(k)))})}).listen(+process.argv[1],"127.0.0.1")`;

type Server = { readonly port: number; cpuUs(): number; stop(): Promise<void> };
type ServerName = "bare" | "on" | "off" | "memcached";

function child(command: readonly string[]): ChildProcess {
  const full = canPin ? ["taskset", "-c", String(SERVER_CORE), ...command] : command;
  const process_ = spawn(full[0] as string, full.slice(1), { stdio: "ignore" });
  killAtExit(process_);
  return process_;
}

async function start(name: ServerName, shape: Shape): Promise<Server> {
  const port = await freePort();
  if (name === "on" || name === "off") {
    const service = await Service.start([
      "--memcached",
      `127.0.0.1:${port}`,
      "--offload",
      name,
      "--costs-scale",
      "0",
    ]);
    return { port, cpuUs: () => service.cpuUs(), stop: () => service.stop() };
  }
  const bare = shape.transport === "udp" ? BARE_UDP : BARE_TCP;
  const command =
    name === "bare"
      ? [process.execPath, "-e", bare, String(port)]
      : ["memcached", "-u", "root", "-l", "127.0.0.1", "-p", String(port), "-U", String(port), "-t", "1"];
  const started = child(command);
  await new Promise((resolve) => setTimeout(resolve, 500));
  return {
    port,
    // taskset becomes the server: the process is the same one.
    cpuUs: () => cpuUsOf(started.pid as number),
    stop: () =>
      new Promise((resolve) => {
        started.once("exit", () => resolve());
        started.kill("SIGKILL");
      }),
  };
}

type Figures = Readonly<Record<ServerName, number>>;
export type Row = { readonly shape: string; readonly perSecond: Figures; readonly cpuUs: Figures };

/** @param seconds of each measurement @param rounds of which the best counts */
export async function benchmark(
  seconds: number,
  rounds: number,
  names: readonly ShapeName[],
): Promise<Row[]> {
  const rows: Row[] = [];
  for (const name of names) rows.push(await measure(SHAPES[name], seconds, rounds));
  return rows;
}

async function measure(shape: Shape, seconds: number, rounds: number): Promise<Row> {
  const hasMemcached = spawnSync("memcached", ["-V"]).status === 0;
  const wanted: ServerName[] = shape.workload.keysPerGet > 1 ? ["on", "off"] : ["bare", "on", "off"];
  // memcached 1.6 answers a multi-get over UDP as many messages; single gets can be compared.
  if (hasMemcached && shape.workload.keysPerGet === 1) wanted.push("memcached");
  const measured: Record<ServerName, { perSecond: number; cpuUs: number }[]> = {
    bare: [],
    on: [],
    off: [],
    memcached: [],
  };
  const servers = new Map<ServerName, Server>();
  try {
    for (const name of wanted) {
      const server = await start(name, shape);
      servers.set(name, server);
      if (name === "bare") continue;
      await fill(server.port, shape.workload);
      const warm = { ...shape.workload, keysPerGet: 1, zipfSkew: 0.01 };
      // Past the hot tier's settling time after a write, then every key asked for alone.
      await new Promise((resolve) => setTimeout(resolve, 200));
      await drive({
        ...shape,
        port: server.port,
        transport: "udp",
        workload: warm,
        rate: null,
        warmupSeconds: 0,
        seconds: 0.5,
      });
    }
    // Once around uncounted: each server's own path is compiled by the time it counts.
    for (const { port } of servers.values()) {
      await drive({ ...shape, port, rate: null, warmupSeconds: 0, seconds: Math.max(1, seconds) });
    }
    for (let round = 0; round < rounds; round++) {
      for (const [name, server] of servers) {
        const before = server.cpuUs();
        const outcome = await drive({ ...shape, port: server.port, rate: null, warmupSeconds: 0, seconds });
        if (outcome.errors > 0) throw new Error(`${shape.name}: ${outcome.errors} errors from ${name}`);
        const { keysPerGet } = shape.workload;
        measured[name].push({
          perSecond: outcome.achievedRate * keysPerGet,
          cpuUs: (server.cpuUs() - before) / outcome.answered / keysPerGet,
        });
      }
    }
  } finally {
    await Promise.all([...servers.values()].map((server) => server.stop()));
  }
  return {
    shape: shape.name,
    perSecond: each((name) => Math.max(...measured[name].map((round) => round.perSecond))),
    cpuUs: each((name) => median(measured[name].map((round) => round.cpuUs))),
  };
}

function each(read: (name: ServerName) => number): Figures {
  return { bare: read("bare"), on: read("on"), off: read("off"), memcached: read("memcached") };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length === 0 ? Number.NaN : (sorted[sorted.length >> 1] as number);
}

export function format(rows: readonly Row[]): string {
  const number = (value: number) =>
    Number.isFinite(value) ? Math.round(value).toLocaleString("en-US") : "–";
  const micros = (value: number) => (Number.isFinite(value) ? value.toFixed(2) : "–");
  const ratio = (a: number, b: number) => (Number.isFinite(a / b) && a / b > 0 ? (a / b).toFixed(2) : "–");
  const lines = [
    "| keys/s | bare Node server | offload on | offload off | memcached -t 1 | on ÷ bare | on ÷ off | on ÷ memcached |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ...rows.map(({ shape, perSecond: { bare, on, off, memcached } }) => {
      const figures = [bare, on, off, memcached].map(number).join(" | ");
      return `| ${shape} | ${figures} | ${ratio(on, bare)} | ${ratio(on, off)} | ${ratio(on, memcached)} |`;
    }),
    "",
    "| server's CPU µs a key, median | bare Node server | offload on | offload off | memcached -t 1 | bare ÷ on | off ÷ on | memcached ÷ on |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ...rows.map(({ shape, cpuUs: { bare, on, off, memcached } }) => {
      const figures = [bare, on, off, memcached].map(micros).join(" | ");
      return `| ${shape} | ${figures} | ${ratio(bare, on)} | ${ratio(off, on)} | ${ratio(memcached, on)} |`;
    }),
  ];
  const single = rows.find((row) => row.shape === SHAPES.udp.name);
  const multi = rows.find((row) => row.shape === SHAPES.multi.name);
  if (single && multi) {
    lines.push(
      "",
      `A multi-get of 30 serves ${ratio(multi.perSecond.on, single.perSecond.on)} × the keys of single gets.`,
    );
  }
  return `${lines.join("\n")}\n`;
}

/** The table of both hooks as Markdown. */
async function hooks(seconds: number): Promise<string> {
  const { caption, columns, rows } = hookTable(await compareHooks(seconds));
  const line = (cells: readonly (string | number)[]) => `| ${cells.map(formatCell).join(" | ")} |`;
  return [caption, "", line(columns), line(columns.map(() => "---")), ...rows.map(line), ""].join("\n");
}

/** `bench:memcached [seconds] [shape,…]`; `hooks` among the shapes is the table of both hooks. */
if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  pinSelf();
  const seconds = Number(process.argv[2] ?? 1.5);
  const all = [...Object.keys(SHAPES), "hooks"];
  const wanted = process.argv[3]?.split(",") ?? all;
  const unknown = wanted.find((name) => !all.includes(name));
  if (unknown !== undefined) {
    process.stderr.write(`no shape '${unknown}'; there are ${all.join(", ")}\n`);
    process.exit(2);
  }
  const shapes = wanted.filter((name): name is ShapeName => name in SHAPES);
  if (shapes.length > 0) process.stdout.write(format(await benchmark(seconds, 5, shapes)));
  if (wanted.includes("hooks")) process.stdout.write(`\n${await hooks(seconds)}`);
}
