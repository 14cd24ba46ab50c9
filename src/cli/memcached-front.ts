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
import { MemcachedServer, PublicUdpRefused } from "../memcached/server.ts";
import { type Family, histogramSamples, sample } from "../metrics/family.ts";
import type { HotCounters } from "../metrics/hot-counters.ts";
import { ServingStats } from "../metrics/serving-stats.ts";
import type { HotMachine } from "../tiers/hot/machine.ts";
import { STATS } from "../tiers/hot/run-info.ts";
import type { TieredCache } from "../tiers/tiered-cache.ts";
import { configPath, loadProfile } from "./config-files.ts";
import { Refusal } from "./exit.ts";
import {
  oneLine,
  parseReference,
  parseTailCall,
  pickProgram,
  readObject,
  withMapsOf,
} from "./program-reference.ts";

/** Built from src/programs, as shipped. */
const SHIPPED = "memcached.bpf.o";

export type FrontParts = {
  readonly machine: HotMachine | null;
  readonly cache: TieredCache;
  readonly injector: Injector;
  readonly counters: HotCounters | null;
  readonly nowNs: () => number;
  readonly logger: Logger;
};

export class MemcachedFront {
  xdp: LoadedProgram | null = null;
  tc: LoadedProgram | null = null;
  readonly stats = new ServingStats();
  datagrams: DatagramHook | null = null;
  segments: SegmentHook | null = null;
  server: MemcachedServer | null = null;
  readonly #config: Config["memcached"];
  readonly #parts: FrontParts;
  readonly #meter: Meter;
  readonly #address: { readonly host: string; readonly port: number };

  /** @throws ConfigError, UsageError, Refusal */
  constructor(config: Config, parts: FrontParts) {
    this.#config = config.memcached;
    this.#parts = parts;
    this.#address = parseListen(config.memcached.listen ?? "");
    this.#meter = new Meter(loadProfile(config.memcached.profile), parts.injector, this.stats);
    const { machine } = parts;
    if (machine === null) return;
    const { xdp, tc } = attach(machine, config.memcached);
    this.xdp = xdp;
    this.tc = tc;
  }

  /** @throws Refusal when the address cannot be bound, or is public */
  async listen(): Promise<void> {
    const { cache, machine, counters, logger } = this.#parts;
    const { allowPublicUdp, maxConnections, idleTimeoutMs } = this.#config;
    const bmcStats = counters && (() => this.#bmcRows(counters));
    try {
      this.server = await MemcachedServer.listen({
        ...this.#address,
        cache,
        allowPublicUdp,
        maxConnections,
        idleTimeoutMs,
        ...(bmcStats && { bmcStats }),
        onCommand: (bytes) => this.#chargeCommand(bytes),
        onFault: (error) => logger.error({ err: error }, "memcached command failed"),
      });
    } catch (error) {
      if (error instanceof PublicUdpRefused) throw new Refusal(error.message);
      const { code = String(error) } = error as NodeJS.ErrnoException;
      throw new Refusal(`cannot listen on ${this.#config.listen}: ${code}`, { cause: error });
    }
    if (machine !== null && (this.xdp !== null || this.tc !== null)) this.#hook(machine, this.server);
  }

  /** Another program, or none, from the next packet on. */
  replace(where: "xdp" | "tc", program: LoadedProgram | null): void {
    this[where] = program;
    if (this.datagrams === null || this.segments === null) {
      const { machine } = this.#parts;
      if (machine !== null && this.server !== null && program !== null) this.#hook(machine, this.server);
      return;
    }
    this.datagrams[where] = program;
    this.segments[where] = program;
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
      {
        name: "bmc_memcached_modelled_seconds",
        help: "Modelled time of memcached commands, by the tier that answered.",
        type: "histogram",
        read: () =>
          histogramSamples("bmc_memcached_modelled_seconds", [
            [{ tier: "hot" }, this.stats.modelled.hot],
            [{ tier: "cold" }, this.stats.modelled.cold],
          ]),
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
    const { cold } = this.#parts.cache;
    const guard = cold.checkTrust && (() => cold.checkTrust?.());
    machine.memcachedPort = server.port;
    const { xdp, tc } = this;
    const { logger } = this.#parts;
    const onFault = (fault: unknown, { program }: LoadedProgram): void =>
      logger.error({ fault, program: program.name }, "program failed and was detached; serving in userspace");
    const local = { address: server.host, port: server.port };
    const onVerdict = (action: number, bytes: number, instructions: number): void =>
      this.#chargeVerdict(action, bytes, instructions);
    this.datagrams = new DatagramHook({ kernel, xdp, tc, local, guard, onFault, onVerdict });
    this.segments = new SegmentHook({ kernel, xdp, tc, onFault });
    server.udp.hook = this.datagrams;
    server.tcp.hook = this.segments;
  }

  /** An answer at the hook is charged here; a pass is noted, and charged with the command it becomes. */
  #chargeVerdict(action: number, bytes: number, instructions: number): void {
    const facts = action === XDP_ACTION.tx ? this.#meter.hot : this.#meter.cold;
    facts.hookRuns = 1;
    facts.instructions = instructions;
    facts.ebpfBytes = bytes;
    if (action !== XDP_ACTION.tx) return;
    this.#meter.chargeHot(1);
    if (this.#meter.injects) this.#meter.injector.pay();
  }

  #chargeCommand(bytes: number): void {
    const { cold } = this.#meter;
    cold.nativeBytes = bytes;
    this.#meter.chargeCold();
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
    yield ["hot_entries", machine?.hot.entries ?? 0];
    yield ["hot_entries_in_use", counters.entries()];
    yield ["hot_memory_bytes", machine?.hot.memoryBytes ?? 0];
  }
}

/** @throws ConfigError */
function parseListen(text: string): { host: string; port: number } {
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
  const shipped = configPath("..", "src", "programs", SHIPPED);
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
