/**
 * stats and its sections. Names and order are memcached's, so that its scrapers work; what one Node process
 * over lru-cache has no counterpart for is 0. `stats bmc` is ours: the hot tier's own counters.
 */

import type { MaybePromise } from "../tiers/cold/store.ts";
import { type Counters, type Engine, VERSION } from "./engine.ts";
import { END, ERROR, OK } from "./lines.ts";
import { text } from "./reply.ts";
import type { Session } from "./session.ts";

type Rows = Iterable<readonly [name: string, value: string | number]>;

const RESET = text("RESET\r\n");
const DETAIL_USAGE = text("CLIENT_ERROR usage: stats detail on|off|dump\r\n");
const BAD_LINE = text("CLIENT_ERROR bad command line\r\n");
const NO_DUMP = text("CLIENT_ERROR stats cachedump not allowed\r\n");
const SIZES_OFF = text("STAT sizes_status disabled\r\nEND\r\n");

const ITEM_ROWS =
  "number number_hot number_warm number_cold age_hot age_warm age mem_requested evicted evicted_nonzero evicted_time outofmemory tailrepairs reclaimed expired_unfetched evicted_unfetched evicted_active crawler_reclaimed crawler_items_checked lrutail_reflocked moves_to_cold moves_to_warm moves_within_lru direct_reclaims hits_to_hot hits_to_warm hits_to_cold hits_to_temp".split(
    " ",
  );

const SECTIONS: Readonly<Record<string, (session: Session) => MaybePromise<void>>> = {
  items: (session) => rows(session, items(session.engine)),
  slabs: (session) => rows(session, slabRows(session.engine)),
  settings: (session) => rows(session, settings(session.engine)),
  bmc: (session) => rows(session, session.engine.bmcStats?.() ?? [["programs", "off"]]),
  sizes: (session) => session.reply.bytes(SIZES_OFF),
  conns: (session) => rows(session, []),
  extstore: (session) => session.reply.bytes(END),
  reset: (session) => {
    session.engine.resetCounters();
    session.reply.bytes(RESET);
  },
  detail,
  cachedump: (session) => session.reply.bytes(session.count < 4 ? BAD_LINE : NO_DUMP),
};

export function stats(session: Session): MaybePromise<void> {
  if (session.count < 2) {
    const { engine } = session;
    if (engine.peers === null) return rows(session, general(engine, engine.counters));
    return engine.peers.counters().then((sums) => rows(session, general(engine, sums)));
  }
  const name = session.key(1);
  const section = Object.hasOwn(SECTIONS, name) ? SECTIONS[name] : undefined;
  if (section) section(session);
  else session.reply.bytes(ERROR);
}

function rows({ reply }: Session, all: Rows): void {
  for (const [name, value] of all) reply.latin1(`STAT ${name} ${value}\r\n`);
  reply.bytes(END);
}

function detail(session: Session): MaybePromise<void> {
  const { reply, engine } = session;
  if (session.count < 3) return reply.bytes(DETAIL_USAGE);
  if (session.is(2, "on")) engine.prefixes.isOn = true;
  else if (session.is(2, "off")) engine.prefixes.isOn = false;
  else if (session.is(2, "dump")) {
    for (const line of engine.prefixes.lines()) reply.latin1(line);
    return reply.bytes(END);
  } else return reply.bytes(DETAIL_USAGE);
  reply.bytes(OK);
}

function* general(engine: Engine, c: Counters): Rows {
  const cold = engine.cache.stats();
  const nowMs = engine.now();
  const usage = process.resourceUsage();
  const seconds = (micros: number): string => (micros / 1e6).toFixed(6);
  yield ["pid", process.pid];
  yield ["uptime", Math.max(0, Math.floor((nowMs - engine.startedMs) / 1000))];
  yield ["time", Math.floor(nowMs / 1000)];
  yield ["version", VERSION];
  yield ["pointer_size", 64];
  yield ["rusage_user", seconds(usage.userCPUTime)];
  yield ["rusage_system", seconds(usage.systemCPUTime)];
  yield ["max_connections", engine.settings.maxconns];
  yield ["curr_connections", c.curr_connections];
  yield ["total_connections", c.total_connections];
  yield ["rejected_connections", c.rejected_connections];
  yield ["cmd_get", c.cmd_get];
  yield ["cmd_set", c.cmd_set];
  yield ["cmd_flush", c.cmd_flush];
  yield ["cmd_touch", c.cmd_touch];
  yield ["cmd_meta", c.cmd_meta];
  yield ["get_hits", c.get_hits];
  yield ["get_misses", c.get_misses];
  yield ["get_expired", cold.expirations];
  yield ["delete_misses", c.delete_misses];
  yield ["delete_hits", c.delete_hits];
  yield ["incr_misses", c.incr_misses];
  yield ["incr_hits", c.incr_hits];
  yield ["decr_misses", c.decr_misses];
  yield ["decr_hits", c.decr_hits];
  yield ["cas_misses", c.cas_misses];
  yield ["cas_hits", c.cas_hits];
  yield ["cas_badval", c.cas_badval];
  yield ["touch_hits", c.touch_hits];
  yield ["touch_misses", c.touch_misses];
  yield ["store_too_large", c.store_too_large];
  yield ["store_no_memory", 0];
  yield ["store_unavailable", c.store_unavailable];
  yield ["auth_cmds", 0];
  yield ["auth_errors", 0];
  yield ["bytes_read", c.bytes_read];
  yield ["bytes_written", c.bytes_written];
  yield ["udp_requests", c.udp_requests];
  yield ["udp_dropped", c.udp_dropped];
  yield ["limit_maxbytes", engine.maxBytes];
  yield ["accepting_conns", 1];
  yield ["threads", engine.threads];
  yield ["bytes", cold.bytes];
  yield ["curr_items", cold.items];
  yield ["total_items", c.total_items];
  yield ["evictions", cold.evictions];
  yield ["reclaimed", cold.expirations];
}

/** One class for all: lru-cache keeps no slabs. */
function* items(engine: Engine): Rows {
  const cold = engine.cache.stats();
  if (cold.items === 0) return;
  const known: Readonly<Record<string, number>> = {
    number: cold.items,
    mem_requested: cold.bytes,
    evicted: cold.evictions,
    reclaimed: cold.expirations,
  };
  for (const name of ITEM_ROWS) yield [`items:1:${name}`, known[name] ?? 0];
}

function* slabRows(engine: Engine): Rows {
  const cold = engine.cache.stats();
  yield ["active_slabs", cold.items === 0 ? 0 : 1];
  yield ["total_malloced", cold.bytes];
}

function* settings(engine: Engine): Rows {
  yield ["maxbytes", engine.maxBytes];
  yield* Object.entries(engine.settings);
  yield ["verbosity", engine.verbosity];
  yield ["evictions", "on"];
  yield ["shutdown_command", "no"];
  yield ["growth_factor", "1.25"];
  yield ["chunk_size", 48];
  yield ["num_threads", engine.threads];
  yield ["detail_enabled", engine.prefixes.isOn ? "yes" : "no"];
  yield ["cas_enabled", "yes"];
  yield ["binding_protocol", "ascii"];
  yield ["auth_enabled_sasl", "no"];
  yield ["item_size_max", engine.itemMaxBytes];
  yield ["maxconns_fast", "yes"];
  yield ["flush_enabled", "yes"];
  yield ["dump_enabled", "no"];
}
