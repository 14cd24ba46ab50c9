/** `bmc serve`: the service as a process. Settings from flags, environment and files; ends on a signal. */
import { type Logger, pino } from "pino";
import { type Config, environmentLayer, fromText, type Layer, resolveConfig, setPath } from "../config.ts";
import { withoutPassword } from "../tiers/cold/redis-address.ts";
import { parseArguments } from "./arguments.ts";
import { sharedCold } from "./cold-tier.ts";
import { configPath, readJson } from "./config-files.ts";
import { UsageError } from "./exit.ts";
import { hasLab, Service } from "./service.ts";

/** A flag is another name for one setting. */
const FLAGS = {
  host: { section: "server", key: "host", hint: "address to bind" },
  port: { section: "server", key: "port", hint: "0 takes a free one" },
  workers: { section: "server", key: "workers", hint: "threads that serve, over one hot tier (Node 22.12)" },
  offload: { section: "offload", key: "mode", hint: "on, or off: the same server with no program attached" },
  engine: { section: "offload", key: "engine", hint: "jit or interpreter" },
  program: { section: "offload", key: "program", hint: "object file with the sk_skb pair to attach" },
  profile: { section: "costs", key: "profile", hint: "whose costs to charge: a name in config/profiles" },
  "costs-scale": { section: "costs", key: "scale", hint: "0 injects no delay, 1 as modelled" },
  admission: { section: "hot", key: "admission", hint: "second-request, always or never" },
  "hot-entries": { section: "hot", key: "entries", hint: "slots of the hot tier" },
  "hot-policy": {
    section: "hot",
    key: "policy",
    hint: "direct-mapped as BMC, set (4 ways, second chance) or lru",
  },
  cold: { section: "cold", key: "url", hint: "redis://HOST:PORT, redis+cluster://… or redis+sentinel://…" },
  coherence: { section: "cold", key: "coherence", hint: "of nodes that share it: strict or eventual" },
  "fill-race": { section: "hot", key: "fillRace", hint: "safe, or unsafe: skips the generation check" },
  lab: { section: "lab", key: "mode", hint: "the lab page: auto (loopback only), on or off" },
  memcached: {
    section: "memcached",
    key: "listen",
    hint: "HOST:PORT for memcached, TCP and UDP; off by default",
  },
  "memcached-profile": {
    section: "memcached",
    key: "profile",
    hint: "whose costs memcached's path is charged",
  },
  "memcached-tcp-hook": {
    section: "memcached",
    key: "tcpHook",
    hint: "what sees TCP: sk_skb, segments (XDP and tc), none or auto",
  },
  "memcached-tcp-profile": {
    section: "memcached",
    key: "tcpProfile",
    hint: "whose costs the sk_skb pair's path is charged",
  },
  xdp: {
    section: "memcached",
    key: "xdp",
    hint: "FILE.o[:PROGRAM] to attach before memcached, instead of ours",
  },
  tc: { section: "memcached", key: "tc", hint: "FILE.o[:PROGRAM] to attach behind it" },
  "log-level": { section: "log", key: "level", hint: "of the log on stderr" },
} as const satisfies Readonly<Record<string, { section: string; key: string; hint: string }>>;
type Flag = keyof typeof FLAGS;

const HELP = `usage: bmc serve [flags]

${Object.entries(FLAGS)
  .map(([flag, { section, key, hint }]) => `  --${flag.padEnd(13)} ${`${section}.${key}`.padEnd(20)} ${hint}`)
  .join("\n")}
  --lab-write     lab.write            the lab page, opened on this machine, may exchange the programs that serve
  --allow-public-udp  memcached.allowPublicUdp  bind memcached's UDP port where others can reach it
  --tail-call MAP[INDEX]=PROGRAM   memcached.tailCalls  fill a slot of a program array; repeatable
  --config FILE   a JSON file shaped like config/default.json

Settings rise from config/default.json over --config and the environment (BMC_SERVER_PORT for
server.port) to flags. SIGTERM and SIGINT end it: what is in flight is finished.
`;

export async function run(argv: string[]): Promise<number> {
  const texts = Object.fromEntries([...Object.keys(FLAGS), "config"].map((f) => [f, { type: "string" }]));
  const parsed = parseArguments("serve", HELP, argv, {
    ...(texts as Record<string, { type: "string" }>),
    "allow-public-udp": { type: "boolean" },
    "lab-write": { type: "boolean" },
    "tail-call": { type: "string", multiple: true },
  });
  if (parsed === null) return 0;
  if (parsed.positionals.length > 0) {
    throw new UsageError(`unexpected argument '${parsed.positionals[0]}' (see 'bmc serve --help')`);
  }
  const config = serveConfig(parsed.values as ServeFlags, process.env);
  const logger = pino({ level: config.log.level }, pino.destination({ fd: 2, sync: true }));
  const running =
    config.server.workers > 1 ? await startWorkers(config, logger) : await startOne(config, logger);
  process.stdout.write(banner(running));

  const signal = await new Promise<string>((resolve) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => resolve(name));
  });
  logger.info({ signal }, "stopping: finishing what is in flight");
  await running.stop();
  return 0;
}

type Running = {
  readonly service: Service;
  readonly url: string;
  /** Where memcached listens, or null. */
  readonly memcached: string | null;
  readonly stop: () => Promise<void>;
};

async function startOne(config: Config, logger: Logger): Promise<Running> {
  const cold = await sharedCold(config, logger);
  const service = new Service(config, { logger, ...(cold && { cold }) });
  const { url } = await service.listen();
  const server = service.memcached?.server;
  const memcached = server ? `${server.host}:${server.port}` : null;
  return { service, url, memcached, stop: () => service.close() };
}

async function startWorkers(config: Config, logger: Logger): Promise<Running> {
  const { superviseWorkers } = await import("./workers/supervise.ts");
  return superviseWorkers(config, logger);
}

export type ServeFlags = Partial<Record<Flag | "config", string>> & {
  readonly "allow-public-udp"?: boolean;
  readonly "lab-write"?: boolean;
  readonly "tail-call"?: readonly string[];
};

/** @throws ConfigError, UsageError */
export function serveConfig(flags: ServeFlags, env: Readonly<Record<string, string | undefined>>): Config {
  const layers: Layer[] = [{ name: "config/default.json", values: readJson(configPath("default.json")) }];
  if (flags.config !== undefined) layers.push({ name: flags.config, values: readJson(flags.config) });
  layers.push(environmentLayer(env));
  for (const [flag, { section, key }] of Object.entries(FLAGS)) {
    const given = flags[flag as Flag];
    if (given === undefined) continue;
    const values = {};
    setPath(values, [section, key], fromText(section, key, given));
    layers.push({ name: `--${flag}`, values });
  }
  const allowPublicUdp = flags["allow-public-udp"];
  if (allowPublicUdp) layers.push({ name: "--allow-public-udp", values: { memcached: { allowPublicUdp } } });
  if (flags["lab-write"]) layers.push({ name: "--lab-write", values: { lab: { write: true } } });
  const tailCalls = flags["tail-call"];
  if (tailCalls) layers.push({ name: "--tail-call", values: { memcached: { tailCalls } } });
  return resolveConfig(layers);
}

function banner({ service, url, memcached: listens }: Running): string {
  const { config, machine, hook, objectPath, memcached } = service;
  const lines = [`bmc serving ${url}`];
  if (machine === null || hook === null) lines.push("  offload   off: no program attached");
  else {
    for (const program of machine.programs.filter(({ type }) => type === "sk_skb")) {
      const { name, bytecode, attach } = program.program;
      lines.push(
        `  attached  ${name} at sk_skb/${attach}, engine ${program.engine}, ${bytecode.length / 8} instructions, ${program.verified ? "verified" : "NOT verified"}`,
      );
    }
    const { entries, memoryBytes } = machine.hot;
    const entryBytes = memoryBytes / entries;
    const size = Number.isInteger(entryBytes) ? `x ${entryBytes} B =` : "in"; // with slots of their own, or not
    lines.push(`  object    ${objectPath}`);
    lines.push(
      `  hot tier  ${entries} entries ${size} ${memoryBytes} bytes, ${machine.policy}, admission ${config.hot.admission}`,
    );
  }
  if (memcached !== null && listens !== null) {
    lines.push(`  memcached ${listens}, TCP and UDP`);
    for (const [where, program] of [
      ["xdp ingress", memcached.xdp],
      ["tc egress", memcached.tc],
      ["sk_skb, TCP", memcached.stream?.programs.verdict ?? null],
    ] as const) {
      if (program === null) lines.push(`  attached  nothing at ${where}`);
      else {
        const { name, bytecode } = program.program;
        lines.push(
          `  attached  ${name} at ${where}, engine ${program.engine}, ${bytecode.length / 8} instructions`,
        );
      }
    }
  }
  lines.push(
    config.cold.url === null
      ? `  cold tier lru-cache, ${config.cold.maxBytes} bytes, ${config.cold.maxEntries} entries at most`
      : `  cold tier Redis at ${withoutPassword(config.cold.url)}, coherence ${config.cold.coherence}`,
  );
  if (config.server.workers > 1) {
    lines.push(
      `  workers   ${config.server.workers} threads over one hot tier, nothing served by the main one`,
    );
  }
  lines.push(`  costs     profile ${config.costs.profile}, scale ${config.costs.scale}`);
  lines.push(`  metrics   ${url}/metrics`);
  lines.push(labLine(config, url));
  if (config.lab.write) {
    lines.push(
      "  WARNING   --lab-write: whoever opens the lab on this machine may exchange the programs that serve",
    );
  }
  return `${lines.join("\n")}\n`;
}

function labLine(config: Config, url: string): string {
  if (hasLab(config)) return `  lab       ${url}/lab/`;
  return config.server.workers > 1 ? "  lab       off (with --workers)" : "  lab       off (--lab on)";
}
