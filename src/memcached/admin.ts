/**
 * delete, touch, flush_all, verbosity, version, quit, and the server-administration commands that a cache
 * in one Node process answers as a memcached started with its defaults.
 */
import { andThen, type Change, type Item, type MaybePromise } from "../tiers/cold/store.ts";
import { VERSION } from "./engine.ts";
import { expiresAtMs } from "./exptime.ts";
import { BAD_EXPTIME, BAD_FORMAT, ERROR, KEY_MAX_BYTES, NOT_FOUND, OK } from "./lines.ts";
import { parseI32 } from "./numbers.ts";
import { text } from "./reply.ts";
import type { Session } from "./session.ts";

const DELETED = text("DELETED\r\n");
const TOUCHED = text("TOUCHED\r\n");
const DELETE_USAGE = text("CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n");
const VERSION_LINE = text(`VERSION ${VERSION}\r\n`);
const NO_SHUTDOWN = text("ERROR: shutdown not enabled\r\n");
const NO_TLS = text("Error TLS not enabled\r\n");
const MEMLIMIT_TOO_SMALL = text("MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n");
const MEMLIMIT_FIXED = text("MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n");
const NO_WATCH = text("CLIENT_ERROR watch commands not allowed\r\n");
const NO_DUMP = text("ERROR metadump not allowed\r\n");
const NO_REASSIGN = text("CLIENT_ERROR slab reassignment disabled\r\n");

export function remove(session: Session): MaybePromise<void> {
  const { engine, count } = session;
  // Old clients sent a time here; only 0 was ever allowed.
  if (count > 2) {
    const isZero = session.is(2, "0");
    const valid = count === 3 ? isZero || session.noreply : isZero && session.noreply;
    if (!valid) return session.say(DELETE_USAGE);
  }
  if (session.tokenLength(1) > KEY_MAX_BYTES) return session.say(BAD_FORMAT);
  const change = (old: Item | null): Change<boolean> => ({ next: "delete", result: old !== null });
  const key = session.key(1);
  engine.prefixes.removed(key);
  return andThen(engine.cache.update(key, change), (existed) => {
    if (existed) engine.counters.delete_hits++;
    else engine.counters.delete_misses++;
    session.say(existed ? DELETED : NOT_FOUND);
  });
}

export function touch(session: Session): MaybePromise<void> {
  const { engine } = session;
  if (session.tokenLength(1) > KEY_MAX_BYTES) return session.say(BAD_FORMAT);
  const exptime = parseI32(session.bytes, session.starts[2]!, session.ends[2]!);
  if (exptime === null) return session.say(BAD_EXPTIME);
  const until = expiresAtMs(exptime, engine.now());
  const change = (old: Item | null): Change<boolean> =>
    old === null
      ? { next: "keep", result: false }
      : { next: { ...old, expiresAtMs: until, cas: old.cas }, result: true };
  return andThen(engine.cache.update(session.key(1), change), (existed) => {
    engine.counters.cmd_touch++;
    if (existed) engine.counters.touch_hits++;
    else engine.counters.touch_misses++;
    session.say(existed ? TOUCHED : NOT_FOUND);
  });
}

export function flushAll(session: Session): MaybePromise<void> {
  const { engine, count } = session;
  engine.counters.cmd_flush++;
  let seconds = 0;
  if (count > (session.noreply ? 2 : 1)) {
    const delay = parseI32(session.bytes, session.starts[1]!, session.ends[1]!);
    if (delay === null) return session.say(BAD_EXPTIME);
    // A delay is an exptime: past 30 days it names a moment.
    const at = expiresAtMs(delay, engine.now());
    seconds = delay === 0 ? 0 : Math.max(0, (at - engine.now()) / 1000);
  }
  if (seconds > 0) {
    engine.flushLater(seconds);
    return session.say(OK);
  }
  engine.cancelFlush();
  return andThen(engine.cache.clear(), () => session.say(OK));
}

export function verbosity(session: Session): MaybePromise<void> {
  const { count, noreply } = session;
  if (noreply && count === 2) return;
  const level = parseI32(session.bytes, session.starts[1]!, session.ends[1]!);
  if (level === null || level < 0) return session.say(BAD_FORMAT);
  session.engine.verbosity = Math.min(level, 2);
  session.say(OK);
}

export function version(session: Session): void {
  session.reply.bytes(VERSION_LINE);
}

export function quit(session: Session): void {
  session.parser.close();
}

/** The cold tier's size is set at start: a limit is checked as memcached checks it, and then declined. */
export function cacheMemlimit(session: Session): MaybePromise<void> {
  const megabytes = parseI32(session.bytes, session.starts[1]!, session.ends[1]!);
  if (megabytes === null) return session.say(ERROR);
  if (megabytes < 8) return session.say(MEMLIMIT_TOO_SMALL);
  session.say(megabytes * 1024 * 1024 === session.engine.maxBytes ? OK : MEMLIMIT_FIXED);
}

/** There is no crawler, but expired items do go: what steers one is accepted, what dumps keys is not. */
export function lruCrawler(session: Session): MaybePromise<void> {
  const { count } = session;
  if (count === 2 && (session.is(1, "enable") || session.is(1, "disable"))) return session.say(OK);
  if (count < 3) return session.say(ERROR);
  if (session.is(1, "metadump")) return session.say(NO_DUMP);
  if (session.is(1, "crawl")) return session.say(OK);
  if (session.is(1, "sleep") || session.is(1, "tocrawl")) {
    return session.say(
      parseI32(session.bytes, session.starts[2]!, session.ends[2]!) === null ? BAD_FORMAT : OK,
    );
  }
  session.say(ERROR);
}

export function slabs(session: Session): MaybePromise<void> {
  if (session.count === 4 && session.is(1, "reassign")) return session.say(NO_REASSIGN);
  if (session.count >= 3 && session.is(1, "automove")) {
    return session.say(
      parseI32(session.bytes, session.starts[2]!, session.ends[2]!) === null ? BAD_FORMAT : OK,
    );
  }
  session.say(ERROR);
}

/** lru-cache has one list and no knobs: what would turn them is taken and has no effect. */
export function lru(session: Session): MaybePromise<void> {
  const { count } = session;
  const isKnown =
    (session.is(1, "tune") && count === 6) ||
    (count === 3 && (session.is(1, "mode") || session.is(1, "temp_ttl")));
  session.say(isKnown ? OK : ERROR);
}

export const shutdown = (session: Session): void => session.say(NO_SHUTDOWN);
export const refreshCerts = (session: Session): void => session.say(NO_TLS);
export const watch = (session: Session): void => session.say(NO_WATCH);
