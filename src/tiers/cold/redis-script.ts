/**
 * The one write Redis is asked for: compare-and-set on an item's cas number, as a script, so that it is
 * atomic on the server. An item is a hash, which any Redis client can read (`HGET bmc:KEY v`):
 *   v value bytes   f client flags   c cas   x expiry, ms since the epoch, 0 = never   m memcached marks
 * The key's own TTL follows x, so that Redis drops what expired.
 */
import { defineScript } from "redis";
import type { NewItem } from "./store.ts";

export const ITEM_FIELDS = ["v", "f", "c", "x", "m"] as const;

/** Returned instead of a cas number when another writer was first. */
export const CONFLICT = "conflict";

/*
 * KEYS[1] the item. ARGV: expected cas ("" = no item), "set" or "delete", v, f, x, m, cas to keep ("" = new).
 * A new cas is the server's clock in microseconds: unique per key even after a delete, since two scripts
 * cannot both take the same microsecond and leave the key deleted in between.
 */
const SOURCE = `
local cas = redis.call('HGET', KEYS[1], 'c') or ''
if cas ~= ARGV[1] then return '${CONFLICT}' end
if ARGV[2] == 'delete' then
  redis.call('DEL', KEYS[1])
  return '0'
end
local new = ARGV[7]
if new == '' then
  local now = redis.call('TIME')
  local us = now[1] * 1000000 + now[2]
  new = string.format('%.0f', us)
  if new == cas then new = string.format('%.0f', us + 1) end
end
redis.call('HSET', KEYS[1], 'v', ARGV[3], 'f', ARGV[4], 'c', new, 'x', ARGV[5], 'm', ARGV[6])
if ARGV[5] == '0' then redis.call('PERSIST', KEYS[1]) else redis.call('PEXPIREAT', KEYS[1], ARGV[5]) end
return new
`;

export const compareAndSet = defineScript({
  SCRIPT: SOURCE,
  NUMBER_OF_KEYS: 1,
  IS_READ_ONLY: false,
  parseCommand(parser, key: Buffer, expectedCas: string, next: NewItem | "delete") {
    parser.pushKey(key);
    parser.push(expectedCas);
    if (next === "delete") {
      parser.push("delete", "", "0", "0", "0", "");
      return;
    }
    const { value, flags, expiresAtMs, marks, cas } = next;
    parser.push(
      "set",
      Buffer.from(value.buffer, value.byteOffset, value.byteLength),
      String(flags),
      String(Math.ceil(expiresAtMs)),
      String(marks ?? 0),
      cas === undefined ? "" : String(cas),
    );
  },
  transformReply: (reply: Buffer | string): string => reply.toString(),
});
