/**
 * Every command line memcached 1.6 knows, as one table. `writes` is what the hot tier's programs must
 * know too: their own list of invalidating commands is tested against this one.
 */
import * as admin from "./admin.ts";
import { arithmetic } from "./arithmetic.ts";
import { metaArithmetic } from "./meta/arithmetic.ts";
import { metaDebug } from "./meta/debug.ts";
import { metaDelete } from "./meta/delete.ts";
import { metaNoop } from "./meta/flags.ts";
import { metaGet } from "./meta/get.ts";
import { metaSet } from "./meta/set.ts";
import { getAndTouch, retrieve } from "./retrieval.ts";
import type { Command } from "./session.ts";
import { stats } from "./stats.ts";
import { storage } from "./storage.ts";

const ANY = Number.POSITIVE_INFINITY;

const ROWS: readonly Command[] = [
  { name: "get", min: 2, max: ANY, noreply: false, writes: false, run: (s) => retrieve(s, false) },
  { name: "gets", min: 2, max: ANY, noreply: false, writes: false, run: (s) => retrieve(s, true) },
  { name: "bget", min: 2, max: ANY, noreply: false, writes: false, run: (s) => retrieve(s, false) },
  { name: "gat", min: 2, max: ANY, noreply: false, writes: true, run: (s) => getAndTouch(s, false) },
  { name: "gats", min: 2, max: ANY, noreply: false, writes: true, run: (s) => getAndTouch(s, true) },
  { name: "set", min: 5, max: 6, noreply: true, writes: true, run: (s) => storage(s, "set") },
  { name: "add", min: 5, max: 6, noreply: true, writes: true, run: (s) => storage(s, "add") },
  { name: "replace", min: 5, max: 6, noreply: true, writes: true, run: (s) => storage(s, "replace") },
  { name: "append", min: 5, max: 6, noreply: true, writes: true, run: (s) => storage(s, "append") },
  { name: "prepend", min: 5, max: 6, noreply: true, writes: true, run: (s) => storage(s, "prepend") },
  { name: "cas", min: 6, max: 7, noreply: true, writes: true, run: (s) => storage(s, "cas") },
  { name: "incr", min: 3, max: 4, noreply: true, writes: true, run: (s) => arithmetic(s, true) },
  { name: "decr", min: 3, max: 4, noreply: true, writes: true, run: (s) => arithmetic(s, false) },
  { name: "delete", min: 2, max: 4, noreply: true, writes: true, run: admin.remove },
  { name: "touch", min: 3, max: 4, noreply: true, writes: true, run: admin.touch },
  { name: "flush_all", min: 1, max: 3, noreply: true, writes: true, run: admin.flushAll },
  { name: "mg", min: 2, max: ANY, noreply: false, writes: true, run: metaGet },
  { name: "ms", min: 2, max: ANY, noreply: false, writes: true, run: metaSet },
  { name: "md", min: 2, max: ANY, noreply: false, writes: true, run: metaDelete },
  { name: "ma", min: 2, max: ANY, noreply: false, writes: true, run: metaArithmetic },
  { name: "me", min: 1, max: ANY, noreply: false, writes: false, run: metaDebug },
  { name: "mn", min: 1, max: ANY, noreply: false, writes: false, run: metaNoop },
  { name: "stats", min: 1, max: ANY, noreply: false, writes: false, run: stats },
  { name: "version", min: 1, max: ANY, noreply: false, writes: false, run: admin.version },
  { name: "verbosity", min: 2, max: 3, noreply: true, writes: false, run: admin.verbosity },
  { name: "quit", min: 1, max: ANY, noreply: false, writes: false, run: admin.quit },
  { name: "shutdown", min: 1, max: ANY, noreply: false, writes: false, run: admin.shutdown },
  { name: "cache_memlimit", min: 2, max: 3, noreply: true, writes: false, run: admin.cacheMemlimit },
  { name: "lru_crawler", min: 1, max: ANY, noreply: false, writes: false, run: admin.lruCrawler },
  { name: "lru", min: 2, max: ANY, noreply: false, writes: false, run: admin.lru },
  { name: "slabs", min: 1, max: ANY, noreply: false, writes: false, run: admin.slabs },
  { name: "refresh_certs", min: 1, max: ANY, noreply: false, writes: false, run: admin.refreshCerts },
  { name: "watch", min: 1, max: ANY, noreply: false, writes: false, run: admin.watch },
];

export const COMMANDS: ReadonlyMap<string, Command> = new Map(ROWS.map((row) => [row.name, row]));
