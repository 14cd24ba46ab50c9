/**
 * md: deletes, or with I only marks the item stale under a new cas, so that the next reader wins the right
 * to recompute it while others are still served the old value. T moves a stale item's expiry.
 */
import { andThen, type Change, type Item, MARK, type MaybePromise } from "../../tiers/cold/store.ts";
import { BAD_FORMAT } from "../lines.ts";
import { text } from "../reply.ts";
import type { Session } from "../session.ts";
import { echoFlags, keyTooLong, OPAQUE_TOO_LONG, opaqueTooLong, readFlags, TOKENS_MAX } from "./flags.ts";

export const TOO_MANY = text("CLIENT_ERROR options flags too long\r\n");
export const BAD_FLAG = text("CLIENT_ERROR invalid or duplicate flag\r\n");
const FIRST_FLAG = 2;

type Outcome = "HD" | "NF" | "EX";

export function metaDelete(session: Session): MaybePromise<void> {
  const { reply, engine } = session;
  if (keyTooLong(session)) return reply.bytes(BAD_FORMAT);
  if (session.count > TOKENS_MAX) return reply.bytes(TOO_MANY);
  const flags = readFlags(session, FIRST_FLAG);
  if (flags.error !== null) return reply.bytes(BAD_FLAG);
  if (opaqueTooLong(session, FIRST_FLAG)) return reply.bytes(OPAQUE_TOO_LONG);
  engine.counters.cmd_meta++;
  const change = (old: Item | null): Change<Outcome> => {
    if (old === null) return { next: "keep", result: "NF" };
    if (flags.cas !== null && flags.cas !== old.cas) return { next: "keep", result: "EX" };
    if (!flags.stale) return { next: "delete", result: "HD" };
    const marks = ((old.marks ?? 0) | MARK.stale) & ~MARK.tokenSent;
    const next = { ...old, expiresAtMs: flags.untilMs ?? old.expiresAtMs, marks, cas: undefined };
    return { next, result: "HD" };
  };
  return andThen(engine.cache.update(flags.key, change), (outcome) => {
    if (outcome === "NF") engine.counters.delete_misses++;
    else if (outcome === "HD") engine.counters.delete_hits++;
    if (flags.quiet && outcome === "HD") return;
    reply.latin1(outcome);
    echoFlags(session, flags, FIRST_FLAG);
    reply.byte(13);
    reply.byte(10);
  });
}
