/**
 * `bmc stats [URL]`: what a running service's programs counted, as a page a person can read; above all what
 * the policy costs: look-ups that missed because another key has the place. Asks /metrics over HTTP, or a
 * memcached port for `stats bmc`, where only memcached's own counters are told.
 */
import { connect } from "node:net";
import { STATS, type StatName } from "../tiers/hot/run-info.ts";
import { parseArguments } from "./arguments.ts";
import { Refusal, UsageError } from "./exit.ts";

const DEFAULT_URL = "http://127.0.0.1:8080";
const DEADLINE_MS = 5_000;

const HELP = `usage: bmc stats [URL]

  http://HOST:PORT       a service's address, or its /metrics (default ${DEFAULT_URL})
  memcached://HOST:PORT  a memcached port: what 'stats bmc' tells
`;

/** What there is to show; NaN where the source does not tell it. */
type Counters = {
  readonly policy: string;
  readonly entries: number;
  readonly live: number;
  readonly bytes: number;
  /** Fills by userspace, and those that pushed a live key out. */
  readonly fills: number;
  readonly evictions: number;
  readonly n: Readonly<Record<StatName, number>>;
};

export async function run(argv: string[]): Promise<number> {
  const parsed = parseArguments("stats", HELP, argv, {});
  if (parsed === null) return 0;
  const [text = DEFAULT_URL, extra] = parsed.positionals;
  if (extra !== undefined) throw new UsageError(`unexpected argument '${extra}' (see 'bmc stats --help')`);
  const url = URL.canParse(text) ? new URL(text) : null;
  const read = url && READERS[url.protocol as keyof typeof READERS];
  if (!url?.hostname || !read) {
    throw new UsageError(`'${text}': expected http://HOST:PORT, https://HOST:PORT or memcached://HOST:PORT`);
  }
  const counters = await read(url);
  process.stdout.write(page(counters));
  return 0;
}

const READERS = { "http:": fromMetrics, "https:": fromMetrics, "memcached:": fromMemcached } as const;

async function fromMetrics(url: URL): Promise<Counters> {
  const target = new URL(url);
  if (target.pathname === "/") target.pathname = "/metrics";
  let text: string;
  try {
    const response = await fetch(target, { signal: AbortSignal.timeout(DEADLINE_MS) });
    if (!response.ok) throw new Error(`it answered ${response.status}`);
    text = await response.text();
  } catch (cause) {
    throw new Refusal(`cannot read ${target}: ${reasonOf(cause)}`, { cause });
  }
  const samples = [...text.matchAll(/^(\w+)(?:\{(.*)\})? (\S+)$/gm)];
  const value = (name: string, label = ""): number =>
    Number(samples.find((s) => s[1] === name && (s[2] ?? "").includes(label))?.[3]);
  const policy = samples.find((s) => s[1] === "bmc_hot_policy_info")?.[2];
  if (policy === undefined) {
    if (samples.some((s) => s[1] === "bmc_hot_entries"))
      throw new Refusal(`${url.origin} serves with offload off: no program counts anything`);
    throw new Refusal(`${target} has no bmc_hot_policy_info: it is no bmc service's /metrics`);
  }
  return {
    policy: /policy="(\w+)"/.exec(policy)?.[1] ?? "unknown",
    entries: value("bmc_hot_capacity_entries"),
    live: value("bmc_hot_entries"),
    bytes: value("bmc_hot_capacity_bytes"),
    fills: value("bmc_hot_fills_total"),
    evictions: value("bmc_hot_fill_collisions_total"),
    n: statsFrom((name) => value("bmc_program_events_total", `event="${name.toLowerCase()}"`)),
  };
}

async function fromMemcached(url: URL): Promise<Counters> {
  const port = Number(url.port || 11_211);
  const text = await ask(url.hostname, port, "stats bmc\r\n");
  const rows = new Map([...text.matchAll(/^STAT (\S+) (.*?)\r?$/gm)].map((row) => [row[1], row[2]]));
  const value = (name: string): number => Number(rows.get(name) ?? Number.NaN);
  if (!rows.has("hot_policy")) {
    throw new Refusal(`${url.host} does not tell 'stats bmc': ${text.split("\r\n", 1)[0] || "no answer"}`);
  }
  return {
    policy: rows.get("hot_policy") ?? "unknown",
    entries: value("hot_entries"),
    live: value("hot_entries_in_use"),
    bytes: value("hot_memory_bytes"),
    fills: Number.NaN,
    evictions: Number.NaN,
    n: statsFrom((name) => (name.startsWith("MC_") ? value(name.slice(3).toLowerCase()) : Number.NaN)),
  };
}

function ask(host: string, port: number, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host, () => socket.write(command));
    const fail = (why: string, cause?: Error): void => {
      socket.destroy();
      reject(new Refusal(`cannot ask ${host}:${port}: ${why}`, { cause }));
    };
    let text = "";
    socket.setTimeout(DEADLINE_MS, () => fail("no answer in time"));
    socket.on("error", (error) => fail(reasonOf(error), error));
    socket.on("close", () => fail("it closed the connection"));
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      if (!/^(END|ERROR|CLIENT_ERROR.*|SERVER_ERROR.*|RESET)\r\n$/m.test(text.slice(-200))) return;
      socket.removeAllListeners("close").end();
      resolve(text);
    });
  });
}

function statsFrom(read: (name: StatName) => number): Record<StatName, number> {
  return Object.fromEntries(STATS.map(({ name }) => [name, read(name)])) as Record<StatName, number>;
}

function reasonOf(error: unknown): string {
  const { cause } = error as { cause?: unknown };
  const inner = (cause ?? error) as NodeJS.ErrnoException;
  return inner.code ?? inner.message;
}

const POLICY_WORDS: Readonly<Record<string, string>> = {
  direct: "direct-mapped, as BMC: a key has one place",
  set: "sets of 4 places, a second chance in each",
  lru: "LRU map: any place, the key used longest ago goes",
};

const whole = (value: number): string => (Number.isNaN(value) ? "–" : value.toLocaleString("en-US"));
const share = (part: number, of: number): string => (of > 0 ? `${((100 * part) / of).toFixed(2)} %` : "–");

/** Rows of one figure for each protocol; a share is of the look-ups. */
function page({ policy, entries, live, bytes, fills, evictions, n }: Counters): string {
  const httpMisses = n.HTTP_GET - n.HTTP_HIT;
  const looks = [n.HTTP_GET, n.MC_HIT + n.MC_MISS] as const;
  const rows: [what: string, http: number, memcached: number, isShare: boolean][] = [
    ["look-ups of a key", looks[0], looks[1], false],
    ["hits", n.HTTP_HIT, n.MC_HIT, true],
    ["misses", httpMisses, n.MC_MISS, true],
    ["  collisions: another key has the place", n.HTTP_COLLISION, n.MC_COLLISION, true],
    ["  mispredictions: equal hash, another key", n.HTTP_MISPREDICTION, n.MC_HIT_MISPREDICTION, true],
    ["  expired", n.HTTP_EXPIRED, n.MC_EXPIRED, true],
    ["fills", fills, n.MC_UPDATE, false],
    ["  that pushed a live key out", evictions, Number.NaN, false],
    ["  given up: a write came between", Number.NaN, n.MC_FILL_RACED, false],
    ["writes seen", n.HTTP_WRITE, n.MC_SET_RECV, false],
  ];
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (i === 0 ? cell.padEnd(42) : cell.padStart(14)))
      .join("")
      .trimEnd();
  return `${[
    `hot tier  ${policy} (${POLICY_WORDS[policy] ?? "of another version"})`,
    `          ${whole(live)} of ${whole(entries)} entries live (${share(live, entries)}), ${whole(bytes)} bytes`,
    "",
    line(["", "HTTP", "", "memcached", ""]),
    ...rows.map(([what, http, memcached, isShare]) =>
      line([
        what,
        whole(http),
        isShare ? share(http, looks[0]) : "",
        whole(memcached),
        isShare ? share(memcached, looks[1]) : "",
      ]),
    ),
  ].join("\n")}\n`;
}
