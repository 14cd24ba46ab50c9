/**
 * ms: set with flags. M picks the mode, C makes it conditional, I lets an older cas store a value that is
 * stale from the start. A refused line still has its block read past, as soon as its length is known.
 */
import { andThen, MARK, type MaybePromise } from "../../tiers/cold/store.ts";
import { BAD_CHUNK, BAD_FORMAT, TOO_LARGE } from "../lines.ts";
import { parseI32 } from "../numbers.ts";
import { text } from "../reply.ts";
import type { Session } from "../session.ts";
import { blockLength, type Outcome, refuseTooLarge, type StoreMode, store } from "../storage.ts";
import {
  echoKey,
  echoOpaque,
  keyTooLong,
  type MetaFlags,
  OPAQUE_TOO_LONG,
  opaqueTooLong,
  readFlags,
  TOKENS_MAX,
} from "./flags.ts";

const TOO_MANY = text("CLIENT_ERROR options flags too long\r\n");
const BAD_MODE = text("CLIENT_ERROR invalid mode for ms M token\r\n");
const FIRST_FLAG = 3;

const MODE_OF: Readonly<Record<string, StoreMode>> = {
  "\0": "set",
  S: "set",
  E: "add",
  A: "append",
  P: "prepend",
  R: "replace",
};

const CODE_OF: Readonly<Record<Outcome, Uint8Array>> = {
  stored: text("HD"),
  "not-stored": text("NS"),
  exists: text("EX"),
  "not-found": text("NF"),
};

export function metaSet(session: Session): MaybePromise<void> {
  const { reply, engine } = session;
  if (keyTooLong(session) || session.count < 3) return reply.bytes(BAD_FORMAT);
  if (session.count > TOKENS_MAX) return reply.bytes(TOO_MANY);
  const length = blockLength(parseI32(session.bytes, session.starts[2]!, session.ends[2]!));
  if (length === null) return reply.bytes(BAD_FORMAT);
  const flags = readFlags(session, FIRST_FLAG);
  const error = flags.error ?? (opaqueTooLong(session, FIRST_FLAG) ? OPAQUE_TOO_LONG : null);
  if (error !== null) return session.refuseBlock(length, error);
  const chosen = MODE_OF[String.fromCharCode(flags.mode)];
  if (chosen === undefined) return session.refuseBlock(length, BAD_MODE);
  // A cas turns a set or replace into memcached's cas; add and append look at it themselves.
  const mode = flags.cas !== null && (chosen === "set" || chosen === "replace") ? "cas" : chosen;
  engine.counters.cmd_meta++;
  if (engine.itemBytes(flags.key.length, flags.clientFlags, length) > engine.itemMaxBytes) {
    return refuseTooLarge(session, flags.key, length, mode === "set", TOO_LARGE);
  }
  session.keepLine();
  session.expectBlock(length, (_session, value, intact) => {
    if (!intact) return reply.bytes(BAD_CHUNK);
    let cas = 0n;
    const write = {
      mode,
      key: flags.key,
      flags: flags.clientFlags,
      expiresAtMs: flags.untilMs ?? 0,
      marks: flags.keyIsBinary ? MARK.binaryKey : 0,
      cas: flags.cas,
      staleMark: flags.stale ? MARK.stale : 0,
      stored: (given: bigint) => {
        cas = given;
      },
    };
    return andThen(store(engine, write, value), (outcome) => answer(session, flags, outcome, cas));
  });
}

function answer(session: Session, flags: MetaFlags, outcome: Outcome, cas: bigint): void {
  const { reply } = session;
  if (flags.quiet && outcome === "stored") return;
  reply.bytes(CODE_OF[outcome]);
  for (let token = FIRST_FLAG; token < session.count; token++) {
    const letter = session.bytes[session.starts[token]!];
    if (letter === 0x4f) echoOpaque(session, token);
    else if (letter === 0x6b) echoKey(session, flags);
    else if (letter === 0x63) {
      reply.latin1(" c");
      reply.big(cas);
    }
  }
  reply.byte(13);
  reply.byte(10);
}
