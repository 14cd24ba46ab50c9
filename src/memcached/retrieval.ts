/**
 * get, gets, gat, gats: any number of keys, one VALUE block for each that is there, END. A key too long
 * takes back the blocks before it, as memcached does. Over an asynchronous cold tier all keys of a line
 * are asked for at once and answered in order.
 */
import type { Change, Item, Key, MaybePromise } from "../tiers/cold/store.ts";
import type { Counters, Engine } from "./engine.ts";
import { expiresAtMs } from "./exptime.ts";
import { BAD_EXPTIME, BAD_FORMAT, END, ERROR, KEY_MAX_BYTES } from "./lines.ts";
import { parseI32 } from "./numbers.ts";
import { nextTurn } from "./parser.ts";
import { text } from "./reply.ts";
import type { Session } from "./session.ts";

const VALUE = text("VALUE ");

type Read = (key: Key) => MaybePromise<Item | null>;

export function retrieve(session: Session, withCas: boolean): MaybePromise<void> {
  return answer(session, session.ends[0]!, withCas, null);
}

export function getAndTouch(session: Session, withCas: boolean): MaybePromise<void> {
  const exptime = parseI32(session.bytes, session.starts[1]!, session.ends[1]!);
  if (exptime === null) return session.reply.bytes(BAD_EXPTIME);
  const { engine } = session;
  const until = expiresAtMs(exptime, engine.now());
  const touch = (old: Item | null): Change<Item | null> =>
    old === null
      ? { next: "keep", result: null }
      : { next: { ...old, expiresAtMs: until, cas: old.cas }, result: old };
  return answer(session, session.ends[1]!, withCas, (key) => engine.cache.update(key, touch));
}

/** @param from where the keys begin; @param touch reads instead of the cache's get */
function answer(session: Session, from: number, withCas: boolean, touch: Read | null): MaybePromise<void> {
  const { bytes, lineEnd, reply, engine } = session;
  const { cache, counters } = engine;
  if (lineEnd - from > LONG_LINE_BYTES) {
    return answerLater(session, { keyStart: -1, mark: null, withCas, touch, first: null });
  }
  const start = touch === null ? null : reply.mark();
  let mark = start;
  let at = from;
  let keys = 0;
  let hits = 0;
  while (at < lineEnd) {
    if (bytes[at] === 32) {
      at++;
      continue;
    }
    const keyStart = at;
    while (at < lineEnd && bytes[at] !== 32 && bytes[at] !== 0) at++;
    if (at === keyStart) break;
    if (at - keyStart > KEY_MAX_BYTES) {
      if (mark) reply.rewind(mark);
      return reply.bytes(BAD_FORMAT);
    }
    // The second key may be too long still; the first one's answer begins here.
    if (keys === 0 && mark === null) mark = markIfMore(session, at);
    keys++;
    const key = bytes.toString("latin1", keyStart, at);
    const found = touch === null ? cache.get(key) : touch(key);
    if (found instanceof Promise) {
      return answerLater(session, { keyStart, mark, withCas, touch, first: found });
    }
    engine.prefixes.read(key, found !== null);
    if (found !== null) {
      hits++;
      valueBlock(session, bytes, keyStart, at, found, withCas);
    }
  }
  count(counters, keys, hits, touch !== null);
  // A line of spaces after the command has no key at all; gat with its exptime alone is answered.
  if (keys === 0 && touch === null) return reply.bytes(ERROR);
  reply.bytes(END);
}

function markIfMore(session: Session, at: number) {
  return at < session.lineEnd ? session.reply.mark() : null;
}

function count(counters: Counters, keys: number, hits: number, touched: boolean): void {
  counters.cmd_get += keys;
  counters.get_hits += hits;
  counters.get_misses += keys - hits;
  if (!touched) return;
  counters.cmd_touch += keys;
  counters.touch_hits += hits;
  counters.touch_misses += keys - hits;
}

function valueBlock(
  session: Session,
  bytes: Uint8Array,
  keyStart: number,
  keyEnd: number,
  item: Item,
  withCas: boolean,
): void {
  const { reply } = session;
  reply.bytes(VALUE);
  reply.range(bytes, keyStart, keyEnd);
  reply.byte(32);
  reply.number(item.flags);
  reply.byte(32);
  reply.number(item.value.length);
  if (withCas) {
    reply.byte(32);
    reply.big(item.cas);
  }
  reply.byte(13);
  reply.byte(10);
  reply.value(item.value);
  noteAccess(session.engine, item);
}

/** A read by a client: what the meta flags h and l tell. */
export function noteAccess(engine: Engine, item: Item): void {
  const { access } = item;
  if (access === undefined) return;
  access.fetched = true;
  access.atSeconds = Math.floor(engine.now() / 1000);
}

type Later = {
  readonly keyStart: number;
  readonly mark: ReturnType<Session["reply"]["mark"]> | null;
  readonly withCas: boolean;
  readonly touch: Read | null;
  /** Its result, where it has been asked for already. */
  readonly first: Promise<Item | null> | null;
};

/**
 * A line may have very many keys: it takes turns with others, and never asks for so many at once that userspace
 * would refuse them (tiers/intake.ts).
 */
const LONG_LINE_BYTES = 4_096;
const READS_AT_ONCE = 256;

async function answerLater(session: Session, later: Later): Promise<void> {
  const { bytes, lineEnd, reply, engine } = session;
  // What stands in the buffer is sent while the line waits.
  if (later.mark) reply.rewind(later.mark);
  const spans: [start: number, end: number][] = [];
  for (let at = session.ends[later.touch === null ? 0 : 1]!; at < lineEnd; ) {
    if (bytes[at] === 32) {
      at++;
      continue;
    }
    const start = at;
    while (at < lineEnd && bytes[at] !== 32 && bytes[at] !== 0) at++;
    if (at === start) break;
    spans.push([start, at]);
    if (at - start > KEY_MAX_BYTES) break;
  }
  const tooLong = spans.findIndex(([start, end]) => end - start > KEY_MAX_BYTES);
  const asked = tooLong < 0 ? spans : spans.slice(0, tooLong);
  const read: Read = later.touch ?? ((key) => engine.cache.get(key));
  const keys = asked.map(([start, end]) => bytes.toString("latin1", start, end));
  const items: (Item | null)[] = [];
  while (items.length < asked.length) {
    const from = items.length;
    const next = keys.slice(from, from + READS_AT_ONCE);
    const found = next.map((key, i) => (asked[from + i]![0] === later.keyStart ? later.first : read(key)));
    items.push(...(await Promise.all(found)));
    if (items.length < asked.length) await nextTurn();
  }
  if (tooLong >= 0) return reply.bytes(BAD_FORMAT);
  items.forEach((item, i) => {
    const [start, end] = asked[i]!;
    engine.prefixes.read(keys[i]!, item !== null);
    if (item !== null) valueBlock(session, bytes, start, end, item, later.withCas);
  });
  const hits = items.filter((item) => item !== null).length;
  count(engine.counters, items.length, hits, later.touch !== null);
  reply.bytes(END);
}
