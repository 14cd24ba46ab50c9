/** me: what is known of one item, for people. */
import { andThen, type MaybePromise } from "../../tiers/cold/store.ts";
import { BAD_FORMAT } from "../lines.ts";
import { text } from "../reply.ts";
import type { Session } from "../session.ts";
import { slabClass } from "../slab-class.ts";
import { decodeKey } from "./base64.ts";
import { keyTooLong } from "./flags.ts";

const EN = text("EN\r\n");

export function metaDebug(session: Session): MaybePromise<void> {
  const { reply, engine } = session;
  if (session.count < 2 || keyTooLong(session)) return reply.bytes(BAD_FORMAT);
  let key: string | null = session.key(1);
  if (session.count > 2 && session.is(2, "b")) {
    key = decodeKey(session.bytes, session.starts[1]!, session.ends[1]!);
    if (key === null) return reply.bytes(BAD_FORMAT);
  }
  const name = key;
  return andThen(engine.cache.get(name), (item) => {
    if (item === null) return reply.bytes(EN);
    const now = Math.floor(engine.now() / 1000);
    // Counted from the expiry to now, so a living item's is negative: memcached's own reading.
    const exp = item.expiresAtMs === 0 ? -1 : now - Math.floor(item.expiresAtMs / 1000);
    const age = now - (item.access?.atSeconds ?? now);
    const fetched = item.access?.fetched ? "yes" : "no";
    const size = engine.itemBytes(name.length, item.flags, item.value.length);
    reply.latin1(
      `ME ${name} exp=${exp} la=${age} cas=${item.cas} fetch=${fetched} cls=${slabClass(size)} size=${size}\r\n`,
    );
  });
}
