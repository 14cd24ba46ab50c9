/**
 * mg: one item with exactly what the flags ask for, in their order. It can also write: T moves the expiry,
 * N makes an empty item on a miss, and whoever first asks for a stale or nearly expired item wins (W) the
 * right to recompute it, while later ones are told that the token is out (Z).
 */
import { andThen, type Change, type Item, MARK, type MaybePromise } from "../../tiers/cold/store.ts";
import { secondsLeft } from "../exptime.ts";
import { BAD_FORMAT } from "../lines.ts";
import { text } from "../reply.ts";
import { noteAccess } from "../retrieval.ts";
import type { Session } from "../session.ts";
import {
  echoFlags,
  echoItemKey,
  echoOpaque,
  keyTooLong,
  type MetaFlags,
  OPAQUE_TOO_LONG,
  opaqueTooLong,
  readFlags,
  TOKENS_MAX,
} from "./flags.ts";

const TOO_MANY = text("CLIENT_ERROR options flags are too long\r\n");
const FIRST_FLAG = 2;

/** What the client is told of: the item as it was found (made: with no expiry yet), and whether it won. */
type Seen = { item: Item; readonly marks: number; readonly won: boolean; readonly isNew: boolean };

export function metaGet(session: Session): MaybePromise<void> {
  const { reply, engine } = session;
  if (keyTooLong(session)) return reply.bytes(BAD_FORMAT);
  if (session.count > TOKENS_MAX) return reply.bytes(TOO_MANY);
  const flags = readFlags(session, FIRST_FLAG);
  if (flags.error !== null) return reply.bytes(flags.error);
  engine.counters.cmd_meta++;
  engine.counters.cmd_get++;
  if (flags.untilMs !== null) engine.counters.cmd_touch++;
  const writes = flags.untilMs !== null || flags.vivifyUntilMs !== null || flags.recacheUntilMs !== null;
  if (writes) return answerWriting(session, flags);
  return andThen(engine.cache.get(flags.key), (item) => {
    if (item === null) return miss(session, flags);
    const marks = item.marks ?? 0;
    // A stale item's first reader gets the token, which is a write.
    if ((marks & MARK.stale) !== 0 && (marks & MARK.tokenSent) === 0) return answerWriting(session, flags);
    hit(session, flags, { item, marks, won: false, isNew: false });
  });
}

function answerWriting(session: Session, flags: MetaFlags): MaybePromise<void> {
  const { engine } = session;
  return andThen(engine.cache.update(flags.key, decide(session, flags)), (seen) => {
    if (seen === null) miss(session, flags);
    else hit(session, flags, seen);
  });
}

function decide(session: Session, flags: MetaFlags): (old: Item | null) => Change<Seen | null> {
  const { engine } = session;
  return (old) => {
    if (old === null) {
      if (flags.vivifyUntilMs === null) return { next: "keep", result: null };
      const next = {
        value: new Uint8Array(0),
        flags: 0,
        expiresAtMs: flags.untilMs !== null ? lastExpiry(session, flags) : flags.vivifyUntilMs,
        marks: MARK.tokenSent | (flags.keyIsBinary ? MARK.binaryKey : 0),
        access: engine.freshAccess(),
      };
      const made = { ...next, expiresAtMs: 0 };
      const marks = next.marks & ~MARK.tokenSent;
      const result: Seen = { item: { ...made, cas: 0n }, marks, won: true, isNew: true };
      const stored = (cas: bigint): void => {
        result.item = { ...made, cas };
      };
      return { next, result, stored };
    }
    const marks = old.marks ?? 0;
    const isSent = (marks & MARK.tokenSent) !== 0;
    const until = flags.untilMs ?? old.expiresAtMs;
    const isNearEnd =
      flags.recacheUntilMs !== null && recacheBase(session, flags, old) < flags.recacheUntilMs;
    const won = !isSent && ((marks & MARK.stale) !== 0 || isNearEnd);
    const result: Seen = { item: old, marks, won, isNew: false };
    if (!won && flags.untilMs === null) return { next: "keep", result };
    return { next: { ...old, expiresAtMs: until, marks: won ? marks | MARK.tokenSent : marks }, result };
  };
}

/** With both N and T on a miss the later flag on the line counts. */
function lastExpiry(session: Session, flags: MetaFlags): number {
  let until = flags.vivifyUntilMs ?? 0;
  for (let token = FIRST_FLAG; token < session.count; token++) {
    const letter = session.bytes[session.starts[token]!];
    if (letter === 0x54) until = flags.untilMs ?? until;
    else if (letter === 0x4e) until = flags.vivifyUntilMs ?? until;
  }
  return until;
}

/** What R compares with: the old expiry if R stands before T, else the new one. An immortal item is far off. */
function recacheBase(session: Session, flags: MetaFlags, old: Item): number {
  let until = old.expiresAtMs;
  for (let token = FIRST_FLAG; token < session.count; token++) {
    const letter = session.bytes[session.starts[token]!];
    if (letter === 0x54) until = flags.untilMs ?? until;
    else if (letter === 0x52) break;
  }
  return until === 0 ? Number.POSITIVE_INFINITY : until;
}

function miss(session: Session, flags: MetaFlags): MaybePromise<void> {
  const { reply, engine } = session;
  engine.counters.get_misses++;
  if (flags.untilMs !== null) engine.counters.touch_misses++;
  if (flags.quiet) return;
  if (opaqueTooLong(session, FIRST_FLAG)) return reply.bytes(OPAQUE_TOO_LONG);
  reply.latin1("EN");
  echoFlags(session, flags, FIRST_FLAG);
  reply.byte(13);
  reply.byte(10);
}

function hit(session: Session, flags: MetaFlags, seen: Seen): MaybePromise<void> {
  const { reply, engine, bytes, starts } = session;
  const { item, marks } = seen;
  engine.counters.get_hits++;
  if (flags.untilMs !== null) engine.counters.touch_hits++;
  if (opaqueTooLong(session, FIRST_FLAG)) return reply.bytes(OPAQUE_TOO_LONG);
  if (flags.wantsValue) {
    reply.latin1("VA ");
    reply.number(item.value.length);
  } else reply.latin1("HD");
  // Flags act in their order: t tells the expiry as the flags before it have left it.
  let until = item.expiresAtMs;
  for (let token = FIRST_FLAG; token < session.count; token++) {
    const letter = bytes[starts[token]!]!;
    if (letter === 0x4f) echoOpaque(session, token);
    else if (letter === 0x6b) echoItemKey(session, flags.key, marks);
    else if (letter === 0x54) until = flags.untilMs ?? until;
    else if (letter === 0x4e && seen.isNew) until = flags.vivifyUntilMs ?? until;
    else {
      const tell = TELL[letter];
      if (tell) {
        reply.byte(32);
        reply.byte(letter);
        tell(session, item, until);
      }
    }
  }
  if ((marks & MARK.tokenSent) !== 0) reply.latin1(" Z");
  if ((marks & MARK.stale) !== 0) reply.latin1(" X");
  if (seen.won) reply.latin1(" W");
  reply.byte(13);
  reply.byte(10);
  if (flags.wantsValue) reply.value(item.value);
  if (!flags.leavesAccess) noteAccess(engine, item);
}

const TELLERS: Readonly<Record<string, (session: Session, item: Item, until: number) => void>> = {
  s: ({ reply }, item) => reply.number(item.value.length),
  t: ({ reply, engine }, _item, until) => {
    const left = secondsLeft(until, engine.now());
    if (left < 0) reply.latin1("-1");
    else reply.number(left);
  },
  c: ({ reply }, item) => reply.big(item.cas),
  f: ({ reply }, item) => reply.number(item.flags),
  l: ({ reply, engine }, item) => {
    const nowSeconds = Math.floor(engine.now() / 1000);
    reply.number(Math.max(0, nowSeconds - (item.access?.atSeconds ?? nowSeconds)));
  },
  h: ({ reply }, item) => reply.byte(item.access?.fetched ? 0x31 : 0x30),
};
const TELL = Array.from({ length: 128 }, (_, byte) => TELLERS[String.fromCharCode(byte)]);
