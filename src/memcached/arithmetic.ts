/**
 * incr and decr, and the counting behind ma. Unsigned 64 bits: incr wraps, decr stops at 0. A result no
 * longer than the old text keeps its length with blanks after it, as memcached does to write in place.
 */
import { andThen, type Change, type Item, type MaybePromise } from "../tiers/cold/store.ts";
import { BAD_FORMAT, KEY_MAX_BYTES, NON_NUMERIC, NOT_FOUND } from "./lines.ts";
import { parseU64 } from "./numbers.ts";
import { text } from "./reply.ts";
import type { Session } from "./session.ts";

const BAD_DELTA = text("CLIENT_ERROR invalid numeric delta argument\r\n");
/** memcached keeps an item this large in chunks, and never takes one for a number. */
const CHUNKED_FROM_BYTES = 524_288;

/** The number after one step, or null where the text is none. */
export function step(value: Uint8Array, isIncr: boolean, delta: bigint): bigint | null {
  if (value.length === 0 || value.length >= CHUNKED_FROM_BYTES) return null;
  const number = parseU64(value, 0, value.length);
  if (number === null) return null;
  if (isIncr) return BigInt.asUintN(64, number + delta);
  return delta > number ? 0n : number - delta;
}

/** `value` as text, padded to the length of the text it replaces. */
export function digits(value: bigint, oldLength: number): Uint8Array {
  return new Uint8Array(Buffer.from(value.toString().padEnd(oldLength, " "), "latin1"));
}

export function arithmetic(session: Session, isIncr: boolean): MaybePromise<void> {
  const { engine, bytes, starts, ends } = session;
  if (session.tokenLength(1) > KEY_MAX_BYTES) return session.say(BAD_FORMAT);
  const delta = parseU64(bytes, starts[2]!, ends[2]!);
  if (delta === null) return session.say(BAD_DELTA);
  const change = (old: Item | null): Change<bigint | "not-found" | "non-numeric"> => {
    if (old === null) return { next: "keep", result: "not-found" };
    const value = step(old.value, isIncr, delta);
    if (value === null) return { next: "keep", result: "non-numeric" };
    const next = { ...old, value: digits(value, old.value.length), cas: undefined };
    return { next, result: value };
  };
  return andThen(engine.cache.update(session.key(1), change), (result) => {
    countStep(session, isIncr, result !== "not-found");
    if (result === "not-found") session.say(NOT_FOUND);
    else if (result === "non-numeric") session.say(NON_NUMERIC);
    else if (!session.noreply) session.reply.latin1(`${result}\r\n`);
  });
}

export function countStep(session: Session, isIncr: boolean, hit: boolean): void {
  const { counters } = session.engine;
  if (isIncr) {
    if (hit) counters.incr_hits++;
    else counters.incr_misses++;
  } else if (hit) counters.decr_hits++;
  else counters.decr_misses++;
}
