/**
 * set, add, replace, append, prepend, cas, and the store behind ms: the line is checked, the block read,
 * then one atomic update decides. An item too large also deletes what `set` would have replaced, so that a
 * failed write never leaves the old value to be read.
 */
import { andThen, type Change, type Item, type Key, MARK, type MaybePromise } from "../tiers/cold/store.ts";
import type { Engine } from "./engine.ts";
import { expiresAtMs } from "./exptime.ts";
import { BAD_CHUNK, BAD_FORMAT, KEY_MAX_BYTES, TOO_LARGE } from "./lines.ts";
import { parseFlags, parseI32, parseU64 } from "./numbers.ts";
import { text } from "./reply.ts";
import type { Session } from "./session.ts";

export const STORED = text("STORED\r\n");
const INT32_MAX = 2_147_483_647;

export type StoreMode = "set" | "add" | "replace" | "append" | "prepend" | "cas";
export type Outcome = "stored" | "not-stored" | "exists" | "not-found";

export type Write = {
  readonly mode: StoreMode;
  readonly key: Key;
  readonly flags: number;
  readonly expiresAtMs: number;
  readonly marks: number;
  /** The cas the client saw; null = unconditional. */
  readonly cas: bigint | null;
  /** ms with I: an older cas than the item's stores anyway, marked stale. */
  readonly staleMark: number;
  /** Hears the cas of the stored item. */
  readonly stored?: ((cas: bigint) => void) | undefined;
};

const LINE_OF: Readonly<Record<Outcome, Uint8Array>> = {
  stored: STORED,
  "not-stored": text("NOT_STORED\r\n"),
  exists: text("EXISTS\r\n"),
  "not-found": text("NOT_FOUND\r\n"),
};

/** A block length memcached accepts, or null. */
export function blockLength(length: number | null): number | null {
  return length === null || length < 0 || length > INT32_MAX - 2 ? null : length;
}

export function storage(session: Session, mode: StoreMode): MaybePromise<void> {
  const { bytes, starts, ends, engine } = session;
  if (session.tokenLength(1) > KEY_MAX_BYTES) return session.say(BAD_FORMAT);
  const flags = parseFlags(bytes, starts[2]!, ends[2]!);
  const exptime = parseI32(bytes, starts[3]!, ends[3]!);
  const length = blockLength(parseI32(bytes, starts[4]!, ends[4]!));
  const cas = mode === "cas" ? parseU64(bytes, starts[5]!, ends[5]!) : null;
  if (flags === null || exptime === null || length === null || (mode === "cas" && cas === null)) {
    return session.say(BAD_FORMAT);
  }
  const key = session.key(1);
  const { noreply } = session;
  engine.prefixes.stored(key);
  if (engine.itemBytes(key.length, flags, length) > engine.itemMaxBytes) {
    return refuseTooLarge(session, key, length, mode === "set", noreply ? null : TOO_LARGE);
  }
  const until = expiresAtMs(exptime, engine.now());
  session.expectBlock(length, (_session, value, intact) => {
    session.noreply = noreply;
    if (!intact) return session.say(BAD_CHUNK);
    const write = { mode, key, flags, expiresAtMs: until, marks: 0, cas, staleMark: 0 };
    return andThen(store(engine, write, value), (outcome) => session.say(LINE_OF[outcome]));
  });
}

/** Reads past the block, says the line, and for a plain set drops the old item first. */
export function refuseTooLarge(
  session: Session,
  key: Key,
  length: number,
  dropsOld: boolean,
  line: Uint8Array | null,
): MaybePromise<void> {
  session.engine.counters.store_too_large++;
  session.refuseBlock(length, line);
  if (!dropsOld) return;
  return session.engine.cache.update(key, () => ({ next: "delete", result: undefined }));
}

/** One write, by any protocol's command. */
export function store(engine: Engine, write: Write, value: Uint8Array): MaybePromise<Outcome> {
  const { counters } = engine;
  counters.cmd_set++;
  return andThen(engine.cache.update(write.key, decide(engine, write, value)), (outcome) => {
    if (outcome === "stored") counters.total_items++;
    if (write.mode === "cas") {
      if (outcome === "stored") counters.cas_hits++;
      else if (outcome === "exists") counters.cas_badval++;
      else counters.cas_misses++;
    }
    return outcome;
  });
}

function decide(engine: Engine, write: Write, value: Uint8Array): (old: Item | null) => Change<Outcome> {
  const { flags, expiresAtMs: until, mode, stored } = write;
  const keep = (result: Outcome): Change<Outcome> => ({ next: "keep", result });
  const put = (marks: number, endMs = until): Change<Outcome> => ({
    next: { value, flags, expiresAtMs: endMs, marks, access: engine.freshAccess() },
    result: "stored",
    stored,
  });
  return (old) => {
    switch (mode) {
      case "set":
        return put(write.marks);
      case "add":
        return old === null ? put(write.marks) : keep("not-stored");
      case "replace":
        return old === null ? keep("not-stored") : put(write.marks);
      case "cas":
        if (old === null) return keep("not-found");
        if (old.cas === write.cas) return put(write.marks);
        if (write.staleMark === 0 || (write.cas ?? 0n) >= old.cas) return keep("exists");
        // As stale as what it replaces: the same end, and no second winner.
        return put(write.marks | write.staleMark | ((old.marks ?? 0) & MARK.tokenSent), old.expiresAtMs);
      case "append":
      case "prepend": {
        if (old === null) return keep("not-stored");
        if (write.cas !== null && write.cas !== 0n && write.cas !== old.cas) return keep("exists");
        const bytes = old.value.length + value.length;
        if (engine.itemBytes(write.key.length, old.flags, bytes) > engine.itemMaxBytes) {
          return keep("not-stored");
        }
        const joined = new Uint8Array(bytes);
        joined.set(old.value, mode === "append" ? 0 : value.length);
        joined.set(value, mode === "append" ? old.value.length : 0);
        // Flags and expiry stay the old item's; the new ones on the line are not looked at.
        const { flags, expiresAtMs } = old;
        const access = engine.freshAccess();
        return { next: { value: joined, flags, expiresAtMs, access }, result: "stored", stored };
      }
    }
  };
}
