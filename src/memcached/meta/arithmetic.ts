/** ma: incr or decr with flags; N and J make the counter where there is none. */
import { andThen, type Change, type Item, type MaybePromise } from "../../tiers/cold/store.ts";
import { countStep, digits, step } from "../arithmetic.ts";
import { secondsLeft } from "../exptime.ts";
import { BAD_FORMAT, NON_NUMERIC } from "../lines.ts";
import { text } from "../reply.ts";
import type { Session } from "../session.ts";
import { BAD_FLAG, TOO_MANY } from "./delete.ts";
import {
  echoFlags,
  echoKey,
  echoOpaque,
  keyTooLong,
  type MetaFlags,
  OPAQUE_TOO_LONG,
  opaqueTooLong,
  readFlags,
  TOKENS_MAX,
} from "./flags.ts";

const BAD_MODE = text("CLIENT_ERROR invalid mode for ma M token\r\n");
const FIRST_FLAG = 2;
const INCR = new Set(["\0", "I", "+"]);
const DECR = new Set(["D", "-"]);

type Counted = { readonly value: bigint; readonly untilMs: number; readonly isNew: boolean; cas: bigint };
type Outcome = Counted | "NF" | "EX" | "non-numeric";

export function metaArithmetic(session: Session): MaybePromise<void> {
  const { reply, engine } = session;
  if (keyTooLong(session)) return reply.bytes(BAD_FORMAT);
  if (session.count > TOKENS_MAX) return reply.bytes(TOO_MANY);
  const flags = readFlags(session, FIRST_FLAG);
  if (flags.error !== null) return reply.bytes(BAD_FLAG);
  if (opaqueTooLong(session, FIRST_FLAG)) return reply.bytes(OPAQUE_TOO_LONG);
  const mode = String.fromCharCode(flags.mode);
  const isIncr = INCR.has(mode);
  if (!isIncr && !DECR.has(mode)) return reply.bytes(BAD_MODE);
  engine.counters.cmd_meta++;
  return andThen(engine.cache.update(flags.key, decide(session, flags, isIncr)), (outcome) => {
    countStep(session, isIncr, outcome !== "NF");
    if (outcome === "non-numeric") reply.bytes(NON_NUMERIC);
    else if (outcome === "NF" || outcome === "EX") {
      reply.latin1(outcome);
      echoFlags(session, flags, FIRST_FLAG);
      reply.byte(13);
      reply.byte(10);
    } else answer(session, flags, outcome);
  });
}

function decide(session: Session, flags: MetaFlags, isIncr: boolean): (old: Item | null) => Change<Outcome> {
  const { engine } = session;
  return (old) => {
    if (old === null) {
      if (flags.vivifyUntilMs === null) return { next: "keep", result: "NF" };
      const untilMs = flags.vivifyUntilMs;
      const result = { value: flags.initial, untilMs, isNew: true, cas: 0n };
      const value = digits(flags.initial, 0);
      const access = engine.freshAccess();
      return {
        next: { value, flags: 0, expiresAtMs: untilMs, marks: 0, access },
        result,
        stored: keepCas(result),
      };
    }
    // A cas of 0 asks for nothing here, unlike in ms and md.
    if (flags.cas !== null && flags.cas !== 0n && flags.cas !== old.cas) {
      return { next: "keep", result: "EX" };
    }
    const value = step(old.value, isIncr, flags.delta);
    if (value === null) return { next: "keep", result: "non-numeric" };
    const untilMs = flags.untilMs ?? old.expiresAtMs;
    const result = { value, untilMs, isNew: false, cas: 0n };
    return {
      next: { ...old, value: digits(value, old.value.length), expiresAtMs: untilMs, cas: undefined },
      result,
      stored: keepCas(result),
    };
  };
}

function keepCas(result: Counted): (cas: bigint) => void {
  return (cas) => {
    result.cas = cas;
  };
}

function answer(session: Session, flags: MetaFlags, counted: Counted): void {
  // memcached does not silence the answer to a counter it just made.
  if (flags.quiet && !counted.isNew) return;
  const { reply, engine } = session;
  const value = counted.value.toString();
  reply.latin1(flags.wantsValue ? `VA ${value.length}` : "HD");
  for (let token = FIRST_FLAG; token < session.count; token++) {
    switch (session.bytes[session.starts[token]!]) {
      case 0x74:
        reply.latin1(` t${secondsLeft(counted.untilMs, engine.now())}`);
        break;
      case 0x63:
        reply.latin1(` c${counted.cas}`);
        break;
      case 0x6b:
        echoKey(session, flags);
        break;
      case 0x4f:
        echoOpaque(session, token);
        break;
    }
  }
  reply.byte(13);
  reply.byte(10);
  if (flags.wantsValue) reply.latin1(`${value}\r\n`);
}
