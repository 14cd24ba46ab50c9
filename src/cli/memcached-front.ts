/**
 * memcached as the service runs it: the programs of its wire attached to the shared machine, the server
 * over the shared cache, what both count. Programs are loaded before anything listens, so a refusal leaves
 * no port open.
 */
import { existsSync } from "node:fs";
import type { Logger } from "pino";
import { XDP_ACTION } from "../bpf/context.ts";
import type { LoadedProgram } from "../bpf/kernel.ts";
import { LoadError } from "../bpf/load-error.ts";
import type { ProgramObject } from "../bpf/program.ts";
import type { Config } from "../config.ts";
import { ConfigError } from "../config.ts";
import type { Injector } from "../costs/injector.ts";
import { DatagramHook, XDP_ACTIONS } from "../hooks/datagram.ts";
import { Meter } from "../hooks/meter.ts";
import { SegmentHook } from "../hooks/segment.ts";
import { type HitFacts, StreamHook } from "../hooks/stream-hook.ts";
import { loadStreamPair, StreamPrograms } from "../hooks/stream-programs.ts";
import type { Latency, Peers, Transport } from "../memcached/engine.ts";
import { MemcachedServer, PublicUdpRefused } from "../memcached/server.ts";
import { type Family, histogramSamples, type Labels, sample } from "../metrics/family.ts";
import type { HotCounters } from "../metrics/hot-counters.ts";
import type { LogHistogram } from "../metrics/log-histogram.ts";
import { ServingStats } from "../metrics/serving-stats.ts";
import { CROSSINGS } from "../tiers/crossing.ts";
import type { HotMachine } from "../tiers/hot/machine.ts";
import { STATS } from "../tiers/hot/run-info.ts";
import { busyMessage } from "../tiers/intake.ts";
import type { TieredCache } from "../tiers/tiered-cache.ts";
import { loadProfile, shippedObject } from "./config-files.ts";
import { Refusal } from "./exit.ts";
import {
  oneLine,
  parseReference,
  parseTailCall,
  pickProgram,
  readObject,
  withMapsOf,
} from "./program-reference.ts";

/** Of one hit of the pair, a get of one key (memcached_skb.h). */
const HIT_FACTS: HitFacts = {
  arrayLookups: 11,
  helperCalls: 3,
  locks: 1,
  replyHeadBytes: 40,
  copyInstructionsPerByte: 9 / 8,
};

const TRANSPORTS = ["udp", "tcp"] as const satisfies readonly Transport[];
const TIERS = ["hot", "cold"] as const;

/** All of the first commands are timed, then one in SAMPLE: two looks at the clock are a tenth of a hot answer. */
const TIMED_FIRST = 1_000;
const SAMPLE = 8;

export type FrontParts = {
  readonly machine: HotMachine | null;
  readonly cache: TieredCache;
  readonly injector: Injector;
  readonly counters: HotCounters | null;
  readonly nowNs: () => number;
  /** The clock that items end by. */
  readonly nowMs: () => number;
  readonly splitTimeoutMs: number;
  /** Connections that may wait for userspace at the hook. */
  readonly maxWaiting: number;
  readonly logger: Logger;
  /** Other workers serve the same port, so many in all. */
  readonly peers?: Peers;
  readonly threads: number;
};

export class MemcachedFront {
  xdp: LoadedProgram | null = null;
  tc: LoadedProgram | null = null;
  /** By transport: each has a hook, a profile and accounts of its own. */
  readonly stats: Readonly<Record<Transport, ServingStats>> = {
    udp: new ServingStats(),
    tcp: new ServingStats(),
  };
  /** The sk_skb pair before TCP connections; null where it is not attached. */
  readonly stream: StreamHook | null = null;
  datagrams: DatagramHook | null = null;
  segments: SegmentHook | null = null;
  server: MemcachedServer | null = null;
  readonly #config: Config["memcached"];
  readonly #parts: FrontParts;
  readonly #meters: Readonly<Record<Transport, Meter>>;
  /** Commands the pair has passed and userspace has not yet charged. */
  #crossed = 0;
  #arrivals = 0;
  readonly #address: { readonly host: string; readonly port: number };

  /** @throws ConfigError, UsageError, Refusal */
  constructor(config: Config, parts: FrontParts) {
    this.#config = config.memcached;
    this.#parts = parts;
    this.#address = parseListen(config.memcached.listen ?? "");
    const { machine, injector } = parts;
    const isPaired = machine !== null && tcpHook(config.memcached) === "sk_skb";
    const { profile, tcpProfile } = config.memcached;
    this.#meters = {
      udp: new Meter(loadProfile(profile), injector, this.stats.udp),
      tcp: new Meter(loadProfile(isPaired ? tcpProfile : profile), injector, this.stats.tcp),
    };
    if (machine === null) return;
    const { xdp, tc } = attach(machine, config.memcached);
    this.xdp = xdp;
    this.tc = tc;
    if (isPaired) this.stream = this.#pair(machine);
  }

  /** @throws Refusal when the address cannot be bound, or is public */
  async listen(): Promise<void> {
    const { cache, machine, counters, logger, nowMs, peers, threads } = this.#parts;
    const { allowPublicUdp, maxConnections, idleTimeoutMs } = this.#config;
    const bmcStats = counters && (() => this.#bmcRows(counters));
    try {
      this.server = await MemcachedServer.listen({
        ...this.#address,
        cache,
        now: nowMs,
        allowPublicUdp,
        maxConnections,
        idleTimeoutMs,
        threads,
        ...(peers && { peers, reusePort: true }),
        ...(bmcStats && { bmcStats }),
        onCommand: (bytes, transport) => this.#chargeCommand(bytes, transport),
        onCrossed: (why) => this.#noteCrossing(why),
        latency: this.#latency(),
        onFault: (error) => logger.error({ err: error }, "memcached command failed"),
      });
    } catch (error) {
      if (error instanceof PublicUdpRefused) throw new Refusal(error.message);
      const { code = String(error) } = error as NodeJS.ErrnoException;
      throw new Refusal(`cannot listen on ${this.#config.listen}: ${code}`, { cause: error });
    }
    this.server.tcp.stream = this.stream;
    if (machine !== null && (this.xdp !== null || this.tc !== null)) this.#hook(machine, this.server);
  }

  /** Another program, or none, from the next packet on. */
  replace(where: "xdp" | "tc", program: LoadedProgram | null): void {
    this[where] = program;
    if (this.datagrams === null) {
      const { machine } = this.#parts;
      if (machine !== null && this.server !== null && program !== null) this.#hook(machine, this.server);
      return;
    }
    this.datagrams[where] = program;
    if (this.segments !== null) this.segments[where] = program;
  }

  close(): Promise<void> {
    return this.server?.close() ?? Promise.resolve();
  }

  families(): readonly Family[] {
    return [
      {
        name: "bmc_memcached_events_total",
        help: "What the memcached server counted, by the name `stats` gives it.",
        type: "counter",
        read: () =>
          Object.entries(this.server?.engine.counters ?? {})
            .filter(([name]) => name !== "curr_connections")
            .map(([event, value]) => sample(value, { event })),
      },
      {
        name: "bmc_memcached_connections",
        help: "Open TCP connections of the memcached server.",
        type: "gauge",
        read: () => [sample(this.server?.engine.counters.curr_connections ?? 0)],
      },
      this.#times(
        "modelled",
        "Time the cost model charges memcached commands, unscaled, by transport and the tier that answered.",
      ),
      this.#times(
        "observed",
        "Clock-measured time of memcached commands, from their bytes' arrival until their answer was handed to the kernel: of the first 1,000, then of one in 8.",
      ),
      {
        name: "bmc_memcached_crossings_total",
        help: "Commands over TCP that the sk_skb pair handed over the boundary into userspace, by why.",
        type: "counter",
        read: () =>
          CROSSINGS.map(({ name }, i) => sample(this.stats.tcp.crossings[i] ?? 0, { reason: name })),
      },
      {
        name: "bmc_datagram_verdicts_total",
        help: "What the XDP program said of memcached's datagrams.",
        type: "counter",
        read: () => XDP_ACTIONS.map((action, i) => sample(this.datagrams?.verdicts[i] ?? 0, { action })),
      },
      {
        name: "bmc_datagram_undeliverable_total",
        help: "Answers of the XDP program that a client's stack would have dropped, by why.",
        type: "counter",
        read: () =>
          Object.entries(this.datagrams?.undeliverable ?? {}).map(([problem, n]) => sample(n, { problem })),
      },
    ];
  }

  #hook(machine: HotMachine, server: MemcachedServer): void {
    const { kernel } = machine;
    const guard = this.#guard();
    machine.memcachedPort = server.port;
    const { xdp, tc } = this;
    const { logger } = this.#parts;
    const onFault = (fault: unknown, { program }: LoadedProgram): void =>
      logger.error({ fault, program: program.name }, "program failed and was detached; serving in userspace");
    const local = { address: server.host, port: server.port };
    const onVerdict = (action: number, bytes: number, instructions: number): void =>
      this.#chargeVerdict(action, bytes, instructions);
    this.datagrams = new DatagramHook({ kernel, xdp, tc, local, guard, onFault, onVerdict });
    server.udp.hook = this.datagrams;
    if (tcpHook(this.#config) !== "segments") return;
    this.segments = new SegmentHook({ kernel, xdp, tc, onFault });
    server.tcp.hook = this.segments;
  }

  /** What is asked before the hot tier is believed. */
  #guard(): (() => void) | undefined {
    const { cold } = this.#parts.cache;
    return cold.checkTrust && (() => cold.checkTrust?.());
  }

  /** @throws Refusal */
  #pair(machine: HotMachine): StreamHook {
    const { logger, nowNs, splitTimeoutMs, maxWaiting } = this.#parts;
    const path = shippedObject("memcached_skb", machine.policy);
    try {
      return new StreamHook({
        programs: new StreamPrograms(machine, loadStreamPair(machine, readObject(path))),
        meter: this.#meters.tcp,
        hitFacts: HIT_FACTS,
        nowNs,
        splitTimeoutMs,
        maxWaiting,
        refusal: Buffer.from(`SERVER_ERROR ${busyMessage(maxWaiting)}\r\n`),
        sampler: null,
        guard: this.#guard(),
        onFault: (fault) =>
          logger.error({ fault }, "memcached's sk_skb pair failed and was detached; serving in userspace"),
        onBytes: (received, answered) => {
          const { counters } = this.server?.engine ?? {};
          if (counters === undefined) return;
          counters.bytes_read += received;
          counters.bytes_written += answered;
        },
      });
    } catch (error) {
      if (error instanceof LoadError) throw new Refusal(`${path}: ${oneLine(error.message)}`);
      throw error;
    }
  }

  #times(kind: "modelled" | "observed", help: string): Family {
    const name = `bmc_memcached_${kind}_seconds`;
    const rows = TRANSPORTS.flatMap((transport) =>
      TIERS.map((tier): [Labels, LogHistogram] => [{ transport, tier }, this.stats[transport][kind][tier]]),
    );
    return { name, help, type: "histogram", read: () => histogramSamples(name, rows) };
  }

  #latency(): Latency {
    const { nowNs } = this.#parts;
    return {
      start: () => (++this.#arrivals <= TIMED_FIRST || this.#arrivals % SAMPLE === 0 ? nowNs() : 0),
      done: (transport, tier, startNs, commands) =>
        this.stats[transport].observed[tier].observeMany(nowNs() - startNs, commands),
    };
  }

  #noteCrossing(why: number): void {
    this.stats.tcp.crossings[why]!++;
    this.#crossed++;
  }

  /** An answer at the hook is charged here; a pass is noted, and charged with the command it becomes. */
  #chargeVerdict(action: number, bytes: number, instructions: number): void {
    const meter = this.#meters.udp;
    const facts = action === XDP_ACTION.tx ? meter.hot : meter.cold;
    facts.hookRuns = 1;
    facts.instructions = instructions;
    facts.ebpfBytes = bytes;
    if (action !== XDP_ACTION.tx) return;
    meter.chargeHot(1);
    if (meter.injects) meter.injector.pay();
  }

  #chargeCommand(bytes: number, transport: Transport): void {
    const meter = this.#meters[transport];
    const { cold } = meter;
    if (transport === "tcp" && this.#crossed > 0) {
      this.#crossed--;
      cold.hookRuns = 1;
      cold.instructions = this.stream?.takeInstructions() ?? 0;
    }
    cold.nativeBytes = bytes;
    meter.chargeCold();
    cold.hookRuns = 0;
    cold.instructions = 0;
    cold.ebpfBytes = 0;
  }

  *#bmcRows(counters: HotCounters): Iterable<readonly [string, string | number]> {
    const { machine } = this.#parts;
    const n = counters.read();
    for (const { name, index } of STATS) {
      if (name.startsWith("MC_")) yield [name.slice(3).toLowerCase(), n[index] ?? 0];
    }
    yield ["xdp_program", this.datagrams?.xdp?.program.name ?? "none"];
    yield ["tc_program", this.datagrams?.tc?.program.name ?? "none"];
    yield ["sk_skb_program", this.stream?.attached ? this.stream.programs.verdict.program.name : "none"];
    yield ["hot_policy", machine?.policy ?? "none"];
    yield ["hot_entries", machine?.hot.entries ?? 0];
    yield ["hot_entries_in_use", counters.entries()];
    yield ["hot_memory_bytes", machine?.hot.memoryBytes ?? 0];
  }
}

/** What sees TCP connections. */
function tcpHook({ tcpHook: wanted, xdp, tc }: Config["memcached"]): "sk_skb" | "segments" | "none" {
  if (wanted !== "auto") return wanted;
  return xdp === null && tc === null ? "sk_skb" : "segments";
}

/** @throws ConfigError */
export function parseListen(text: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) {
    throw new ConfigError(`config: memcached.listen is ${JSON.stringify(text)}; allowed: null or HOST:PORT`);
  }
  return { host: match[1] ?? match[2] ?? "", port };
}

/** Loads what is asked for, or what is shipped. @throws Refusal */
function attach(
  machine: HotMachine,
  config: Config["memcached"],
): { xdp: LoadedProgram | null; tc: LoadedProgram | null } {
  const shipped = shippedObject("memcached", machine.policy);
  const isBare = config.xdp === null && config.tc === null;
  const fallback = isBare && existsSync(shipped) ? shipped : null;
  const tailCalls = config.tailCalls.map(parseTailCall);
  const first = new Map<string, ProgramObject>();
  const load = (text: string | null, type: "xdp" | "tc"): LoadedProgram | null => {
    if (text === null) return null;
    const reference = parseReference(text);
    const known = first.get(reference.path);
    const parsed = readObject(reference.path, type);
    const object = known ? withMapsOf(parsed, known) : parsed;
    first.set(reference.path, known ?? object);
    const name = pickProgram(object, reference, type);
    try {
      return machine.loadWithTailCalls(object, name, tailCalls);
    } catch (error) {
      if (error instanceof LoadError) throw new Refusal(`${reference.path}: ${oneLine(error.message)}`);
      throw error;
    }
  };
  const xdp = load(config.xdp ?? fallback, "xdp");
  const tc = load(config.tc ?? fallback, "tc");
  const maps = new Set([...first.values()].flatMap((object) => object.maps.map(({ name }) => name)));
  const lost = tailCalls.find(({ map }) => !maps.has(map));
  if (lost) throw new Refusal(`tail call into '${lost.map}': no attached object has such a map`);
  return { xdp, tc };
}
