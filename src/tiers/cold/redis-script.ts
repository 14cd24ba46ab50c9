/**
 * What Redis is asked to do atomically, as scripts of one key each (so that they run in a Cluster too). An
 * item is a hash, which any Redis client can read (`HGET bmc:KEY v`):
 *   v value bytes   f client flags   c cas   x expiry, ms since the epoch, 0 = never   m memcached marks
 * The key's own TTL follows x, so that Redis drops what expired.
 */
import { defineScript } from "redis";
import type { NewItem } from "./store.ts";

export const ITEM_FIELDS = ["v", "f", "c", "x", "m"] as const;

/** Returned instead of a cas number: another writer was first; the write came after its time. */
export const CONFLICT = "conflict";
export const LATE = "late";

type Parser = Parameters<typeof readForUpdate.parseCommand>[0];

/** The item's fields, and the server's clock in microseconds: what the time of the write will be told by. */
export const readForUpdate = defineScript({
  SCRIPT: `
local now = redis.call('TIME')
local item = redis.call('HMGET', KEYS[1], '${ITEM_FIELDS.join("', '")}')
item[${ITEM_FIELDS.length + 1}] = string.format('%.0f', now[1] * 1000000 + now[2])
return item
`,
  NUMBER_OF_KEYS: 1,
  IS_READ_ONLY: false, // to the master: replicas lag
  parseCommand(parser, key: Buffer) {
    parser.pushKey(key);
  },
  transformReply: (reply: (Buffer | null)[]): (Buffer | null)[] => reply,
});

/*
 * The one write there is: compare-and-set on an item's cas number. KEYS[1] the item. ARGV: expected cas ("" =
 * no item), "set" or "delete", v, f, x, m, cas to keep ("" = new), the last microsecond of the server's clock
 * at which it may run: whoever gave up waiting knows then that it will not be stored any more.
 * A new cas is the server's clock in microseconds: unique per key even after a delete, since two scripts
 * cannot both take the same microsecond and leave the key deleted in between.
 */
const COMPARE_AND_SET = `
local now = redis.call('TIME')
local us = now[1] * 1000000 + now[2]
if us > tonumber(ARGV[8]) then return '${LATE}' end
local cas = redis.call('HGET', KEYS[1], 'c') or ''
if cas ~= ARGV[1] then return '${CONFLICT}' end
if ARGV[2] == 'delete' then
  redis.call('DEL', KEYS[1])
  return '0'
end
local new = ARGV[7]
if new == '' then
  new = string.format('%.0f', us)
  if new == cas then new = string.format('%.0f', us + 1) end
end
redis.call('HSET', KEYS[1], 'v', ARGV[3], 'f', ARGV[4], 'c', new, 'x', ARGV[5], 'm', ARGV[6])
if ARGV[5] == '0' then redis.call('PERSIST', KEYS[1]) else redis.call('PEXPIREAT', KEYS[1], ARGV[5]) end
return new
`;

export const compareAndSet = defineScript({
  SCRIPT: COMPARE_AND_SET,
  NUMBER_OF_KEYS: 1,
  IS_READ_ONLY: false,
  parseCommand(parser, key: Buffer, expectedCas: string, next: NewItem | "delete", untilUs: number) {
    parser.pushKey(key);
    parser.push(expectedCas);
    const until = untilUs.toFixed(0);
    if (next === "delete") {
      parser.push("delete", "", "0", "0", "0", "", until);
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
      until,
    );
  },
  transformReply: asText,
});

/*
 * The list of nodes (coherence.ts) is a hash of id to "in", or "out" for one that was expelled and is being
 * waited for. Renewing is a write, though it changes nothing: a master that was cut off from its replicas, and
 * refuses writes for it (min-replicas-to-write), must not renew a lease either. It is one that needs no memory.
 */
const LIST_KEPT_MS = 86_400_000;

const MEMBER = (parser: Parser, list: Buffer, id: string): void => {
  parser.pushKey(list);
  parser.push(id);
};

/** "1" when the node is still in. */
export const renewNode = defineScript({
  SCRIPT: `
if redis.call('HGET', KEYS[1], ARGV[1]) ~= 'in' then return '0' end
redis.call('PEXPIRE', KEYS[1], ${LIST_KEPT_MS})
return '1'
`,
  NUMBER_OF_KEYS: 1,
  IS_READ_ONLY: false,
  parseCommand: MEMBER,
  transformReply: asText,
});

export const expelNode = defineScript({
  SCRIPT: `
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return '0' end
redis.call('HSET', KEYS[1], ARGV[1], 'out')
return '1'
`,
  NUMBER_OF_KEYS: 1,
  IS_READ_ONLY: false,
  parseCommand: MEMBER,
  transformReply: asText,
});

export const SCRIPTS = { readForUpdate, compareAndSet, renewNode, expelNode };

function asText(reply: Buffer | string): string {
  return reply.toString();
}
