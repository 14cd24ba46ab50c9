/**
 * The flags of a meta command, read in one pass before anything is done (protocol.txt, "Meta Commands").
 * Each flag may come once; a bad token is remembered and the rest still looked at, so the last complaint
 * wins, as in memcached. What a command does not know of it ignores.
 */
import { MARK } from "../../tiers/cold/store.ts";
import { expiresAtMs } from "../exptime.ts";
import { BAD_FORMAT, KEY_MAX_BYTES } from "../lines.ts";
import { parseFlags, parseI32, parseU64 } from "../numbers.ts";
import { text } from "../reply.ts";
import type { Session } from "../session.ts";
import { decodeKey } from "./base64.ts";

/** Tokens of a line, name and key and flags together. */
export const TOKENS_MAX = 19;
/** Of an opaque flag with its letter. */
const OPAQUE_MAX_BYTES = 32;

const DUPLICATE = text("CLIENT_ERROR duplicate flag\r\n");
const INVALID = text("CLIENT_ERROR invalid flag\r\n");
const BAD_TOKEN = text("CLIENT_ERROR bad token in command line format\r\n");
const BAD_MODE_LENGTH = text("CLIENT_ERROR incorrect length for M token\r\n");
const BAD_KEY = text("CLIENT_ERROR error decoding key\r\n");
const BAD_INITIAL = text("CLIENT_ERROR invalid numeric initial value\r\n");
const BAD_DELTA = text("CLIENT_ERROR invalid numeric delta value\r\n");
export const OPAQUE_TOO_LONG = text("CLIENT_ERROR opaque token too long\r\n");
const MN = text("MN\r\n");

export class MetaFlags {
  key = "";
  keyIsBinary = false;
  /** N: expiry of an item made on a miss, or null. */
  vivifyUntilMs: number | null = null;
  /** T: the new expiry, or null. */
  untilMs: number | null = null;
  /** R: recompute when the item expires before this, or null. */
  recacheUntilMs: number | null = null;
  wantsValue = false;
  quiet = false;
  leavesAccess = false;
  clientFlags = 0;
  cas: bigint | null = null;
  /** M's letter as a byte, or 0. */
  mode = 0;
  initial = 0n;
  delta = 1n;
  stale = false;
  /** What is wrong, or null. */
  error: Uint8Array | null = null;
}

type Reader = (
  flags: MetaFlags,
  session: Session,
  token: number,
  start: number,
  end: number,
) => Uint8Array | null;

const nothing: Reader = () => null;

function expiry(set: (flags: MetaFlags, untilMs: number) => void): Reader {
  return (flags, session, _token, start, end) => {
    const exptime = parseI32(session.bytes, start, end);
    if (exptime === null) return BAD_TOKEN;
    set(flags, expiresAtMs(exptime, session.engine.now()));
    return null;
  };
}

const READERS: Readonly<Record<string, Reader>> = {
  b: (flags, session) => {
    const key = decodeKey(session.bytes, session.starts[1]!, session.ends[1]!);
    if (key === null) return BAD_KEY;
    flags.key = key;
    flags.keyIsBinary = true;
    return null;
  },
  N: expiry((flags, untilMs) => {
    flags.vivifyUntilMs = untilMs;
  }),
  T: expiry((flags, untilMs) => {
    flags.untilMs = untilMs;
  }),
  R: expiry((flags, untilMs) => {
    flags.recacheUntilMs = untilMs;
  }),
  l: nothing,
  O: nothing,
  k: nothing,
  s: nothing,
  t: nothing,
  c: nothing,
  f: nothing,
  h: nothing,
  v: (flags) => {
    flags.wantsValue = true;
    return null;
  },
  q: (flags) => {
    flags.quiet = true;
    return null;
  },
  u: (flags) => {
    flags.leavesAccess = true;
    return null;
  },
  F: (flags, session, _token, start, end) => {
    const value = parseFlags(session.bytes, start, end);
    // The only complaint without words of its own.
    if (value === null) return flags.error ?? BAD_FORMAT;
    flags.clientFlags = value;
    return null;
  },
  C: (flags, session, _token, start, end) => {
    flags.cas = parseU64(session.bytes, start, end);
    return flags.cas === null ? BAD_TOKEN : null;
  },
  M: (flags, session, _token, start, end) => {
    if (end - start !== 1) return BAD_MODE_LENGTH;
    flags.mode = session.bytes[start]!;
    return null;
  },
  J: (flags, session, _token, start, end) => {
    const value = parseU64(session.bytes, start, end);
    if (value === null) return BAD_INITIAL;
    flags.initial = value;
    return null;
  },
  D: (flags, session, _token, start, end) => {
    const value = parseU64(session.bytes, start, end);
    if (value === null) return BAD_DELTA;
    flags.delta = value;
    return null;
  },
  I: (flags) => {
    flags.stale = true;
    return null;
  },
};

const READER_OF: readonly (Reader | undefined)[] = Array.from(
  { length: 127 },
  (_, byte) => READERS[String.fromCharCode(byte)],
);

/** @param first the first flag's token; token 1 is the key */
export function readFlags(session: Session, first: number): MetaFlags {
  const flags = new MetaFlags();
  flags.key = session.key(1);
  // Which letters were there, as bits of four words.
  const seen = [0, 0, 0, 0];
  for (let token = first; token < session.count; token++) {
    const start = session.starts[token]!;
    const letter = session.bytes[start]!;
    const word = letter >> 5;
    const bit = 1 << (letter & 31);
    if (letter >= 127 || (seen[word]! & bit) !== 0) {
      flags.error = DUPLICATE;
      return flags;
    }
    seen[word]! |= bit;
    const reader = READER_OF[letter];
    if (reader === undefined) {
      flags.error = INVALID;
      return flags;
    }
    const error = reader(flags, session, token, start + 1, session.ends[token]!);
    if (error !== null) flags.error = error;
  }
  return flags;
}

/** The key of the request as it was spelled, with the mark of a base64 one. */
export function echoKey(session: Session, flags: MetaFlags): void {
  const { reply } = session;
  reply.byte(32);
  reply.byte(0x6b);
  reply.range(session.bytes, session.starts[1]!, session.ends[1]!);
  if (flags.keyIsBinary) reply.latin1(" b");
}

/** A stored item's key: as base64 if that is how it was stored. */
export function echoItemKey(session: Session, key: string, marks: number): void {
  const { reply } = session;
  if ((marks & MARK.binaryKey) === 0) reply.latin1(` k${key}`);
  else reply.latin1(` k${Buffer.from(key, "latin1").toString("base64")} b`);
}

export function echoOpaque(session: Session, token: number): void {
  session.reply.byte(32);
  session.reply.range(session.bytes, session.starts[token]!, session.ends[token]!);
}

/** O and k, the flags that come back with every answer. */
export function echoFlags(session: Session, flags: MetaFlags, first: number): void {
  for (let token = first; token < session.count; token++) {
    const letter = session.bytes[session.starts[token]!];
    if (letter === 0x4f) echoOpaque(session, token);
    else if (letter === 0x6b) echoKey(session, flags);
  }
}

/** True when some O flag is longer than memcached takes. */
export function opaqueTooLong(session: Session, first: number): boolean {
  for (let token = first; token < session.count; token++) {
    const isOpaque = session.bytes[session.starts[token]!] === 0x4f;
    if (isOpaque && session.tokenLength(token) > OPAQUE_MAX_BYTES) return true;
  }
  return false;
}

export function keyTooLong(session: Session): boolean {
  return session.tokenLength(1) > KEY_MAX_BYTES;
}

export function metaNoop(session: Session): void {
  session.reply.bytes(MN);
}
