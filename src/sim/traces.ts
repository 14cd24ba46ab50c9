/**
 * Cache traces, parsed as they stream by: constant memory, whatever their length. Three formats:
 * - csv: a header line naming time, key, op, size (libCacheSim's obj_id, obj_size and the like too), or no
 *   header and the columns time, key, size[, op]
 * - twitter: timestamp, key, key size, value size, client id, operation, TTL (Yang et al., OSDI'20)
 * - oracle: libCacheSim's oracleGeneral, 24 bytes a request: u32 time, u64 object, u32 size, i64 next access
 * A key becomes a 31-bit id and its FNV-1a hash: what the hot tier's model works on. Two of a million keys
 * share an id with a chance of one in 4,000, and then only count if they share a slot.
 */
import { fnv1a32, KEY_BYTES } from "./keys.ts";
import { SimError } from "./sim-error.ts";

export const TRACE_FORMATS = ["csv", "twitter", "oracle"] as const;
export type TraceFormat = (typeof TRACE_FORMATS)[number];

/** One request; the parser refills the same record. */
export type TraceRequest = {
  /** Seconds. */
  time: number;
  id: number;
  hash: number;
  keyBytes: number;
  valueBytes: number;
  operation: "get" | "set" | "delete";
};

const OPERATIONS: Readonly<Record<string, TraceRequest["operation"]>> = {
  get: "get",
  gets: "get",
  read: "get",
  set: "set",
  add: "set",
  replace: "set",
  cas: "set",
  append: "set",
  prepend: "set",
  incr: "set",
  decr: "set",
  put: "set",
  write: "set",
  update: "set",
  insert: "set",
  delete: "delete",
};

const COLUMN_NAMES: Readonly<Record<string, "time" | "key" | "op" | "size">> = {
  time: "time",
  timestamp: "time",
  clock_time: "time",
  key: "key",
  obj: "key",
  obj_id: "key",
  object: "key",
  id: "key",
  op: "op",
  operation: "op",
  size: "size",
  obj_size: "size",
  value_size: "size",
  bytes: "size",
};

const ORACLE_BYTES = 24;
/** A line longer than this is no trace. */
const MAX_LINE = 4096;
const MAX_SIZE = 0x7fffffff;

/** Yields the same record again and again, filled with the next request. @throws SimError at bad input */
export function* parseTrace(
  chunks: Iterable<Uint8Array>,
  name: string,
  format?: TraceFormat,
): Generator<TraceRequest, void> {
  const iterator = chunks[Symbol.iterator]();
  // Enough to tell the format by, whatever size the chunks come in.
  let head = new Uint8Array(0);
  while (head.length < MAX_LINE) {
    const { done, value } = iterator.next();
    if (done) break;
    const more = new Uint8Array(head.length + value.length);
    more.set(head);
    more.set(value, head.length);
    head = more;
  }
  if (head.length === 0) throw new SimError(`trace ${name}: is empty`);
  const rest = (function* () {
    yield head;
    for (let next = iterator.next(); !next.done; next = iterator.next()) yield next.value;
  })();
  const chosen = format ?? sniff(head);
  let count = 0;
  for (const request of chosen === "oracle" ? oracle(rest, name) : lines(rest, name, chosen)) {
    count++;
    yield request;
  }
  if (count === 0) throw new SimError(`trace ${name}: holds no request`);
}

/** Text has no zero byte; a Twitter line has seven fields with a known operation in the sixth. */
function sniff(head: Uint8Array): TraceFormat {
  const sample = head.subarray(0, MAX_LINE);
  if (sample.includes(0)) return "oracle";
  const line = new TextDecoder().decode(sample).split("\n", 1)[0] ?? "";
  const fields = line.trim().split(",");
  return fields.length >= 7 && Object.hasOwn(OPERATIONS, fields.at(-2) ?? "") ? "twitter" : "csv";
}

function empty(): TraceRequest {
  return { time: 0, id: 0, hash: 0, keyBytes: 0, valueBytes: 0, operation: "get" };
}

function* oracle(chunks: Iterable<Uint8Array>, name: string): Generator<TraceRequest, void> {
  const request = empty();
  const key = new Uint8Array(KEY_BYTES);
  request.keyBytes = KEY_BYTES;
  let left = new Uint8Array(0);
  let offset = 0;
  for (const chunk of chunks) {
    let bytes = chunk;
    if (left.length > 0) {
      bytes = new Uint8Array(left.length + chunk.length);
      bytes.set(left);
      bytes.set(chunk, left.length);
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const whole = bytes.length - (bytes.length % ORACLE_BYTES);
    for (let at = 0; at < whole; at += ORACLE_BYTES) {
      request.time = view.getUint32(at, true);
      const low = view.getUint32(at + 4, true);
      const high = view.getUint32(at + 8, true);
      hexInto(key, high, 0);
      hexInto(key, low, 8);
      request.hash = fnv1a32(key);
      request.id = idOf(key, KEY_BYTES);
      request.valueBytes = view.getUint32(at + 12, true);
      yield request;
    }
    offset += whole;
    left = bytes.slice(whole);
  }
  if (left.length > 0) {
    throw new SimError(
      `trace ${name}: ends inside a record at byte ${offset} (${left.length} of ${ORACLE_BYTES} bytes); is it oracleGeneral?`,
    );
  }
}

function hexInto(out: Uint8Array, word: number, at: number): void {
  for (let i = 0; i < 8; i++) {
    const nibble = (word >>> (28 - 4 * i)) & 15;
    out[at + i] = nibble < 10 ? 48 + nibble : 87 + nibble;
  }
}

/** 31 bits of another hash than FNV-1a's. */
function idOf(bytes: Uint8Array, length: number): number {
  let h = 0x9747b28c ^ length;
  for (let i = 0; i < length; i++) {
    h = Math.imul(h ^ bytes[i]!, 0x5bd1e995);
    h ^= h >>> 15;
  }
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) & 0x7fffffff;
}

type Columns = { time: number; key: number; op: number; size: number; count: number };

function* lines(
  chunks: Iterable<Uint8Array>,
  name: string,
  format: "csv" | "twitter",
): Generator<TraceRequest, void> {
  const decoder = new TextDecoder();
  const request = empty();
  const encoder = new TextEncoder();
  let columns: Columns | null = null;
  let number = 0;
  let text = "";
  const fail = (what: string): never => {
    throw new SimError(`trace ${name}: line ${number}: ${what}`);
  };
  const amount = (what: string, field: string | undefined): number => {
    const value = field === undefined || field.trim() === "" ? Number.NaN : Number(field);
    if (!(value >= 0 && value <= MAX_SIZE * 1e6))
      fail(`${what} is ${JSON.stringify(field ?? "missing")}, not a number >= 0`);
    return value;
  };
  const take = (key: string, time: string | undefined, size: string | undefined, op: string | undefined) => {
    if (key === "") fail("the key is empty");
    const bytes = encoder.encode(key);
    request.time = amount("time", time);
    request.hash = fnv1a32(bytes);
    request.id = idOf(bytes, bytes.length);
    request.keyBytes = bytes.length;
    request.valueBytes = Math.min(MAX_SIZE, amount("size", size));
    const known = op === undefined ? "get" : OPERATIONS[op.trim().toLowerCase()];
    if (!known) fail(`operation is ${JSON.stringify(op)}; known: ${Object.keys(OPERATIONS).join(", ")}`);
    request.operation = known as TraceRequest["operation"];
  };
  const parse = (line: string): boolean => {
    number++;
    const trimmed = line.endsWith("\r") ? line.slice(0, -1) : line;
    if (trimmed === "") return false;
    const fields = trimmed.split(",");
    if (format === "twitter") {
      if (fields.length < 7) fail(`has ${fields.length} fields; a Twitter trace has 7`);
      // A key may hold commas: the six fields around it do not.
      const key = fields.slice(1, -5).join(",");
      take(key, fields[0], fields.at(-4), fields.at(-2));
      request.keyBytes = amount("key size", fields.at(-5));
      return true;
    }
    if (!columns) {
      columns = header(fields);
      if (columns) return false;
      if (fields.length < 3 || fields.length > 4) {
        fail(`has ${fields.length} fields and is no header; expected time, key, size[, operation]`);
      }
      columns = { time: 0, key: 1, size: 2, op: fields.length === 4 ? 3 : -1, count: fields.length };
    }
    if (fields.length !== columns.count)
      fail(`has ${fields.length} fields, the first line has ${columns.count}`);
    const at = (column: number) => (column < 0 ? undefined : fields[column]);
    take((at(columns.key) ?? "").trim(), at(columns.time) ?? "0", at(columns.size) ?? "0", at(columns.op));
    return true;
  };
  for (const chunk of chunks) {
    text += decoder.decode(chunk, { stream: true });
    let start = 0;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", start)) {
      if (parse(text.slice(start, end))) yield request;
      start = end + 1;
    }
    text = text.slice(start);
    if (text.length > MAX_LINE) {
      number++;
      fail(`is longer than ${MAX_LINE} characters; is this a text trace?`);
    }
  }
  text += decoder.decode();
  if (text !== "" && parse(text)) yield request;
}

function header(fields: readonly string[]): Columns | null {
  const names = fields.map((f) => COLUMN_NAMES[f.trim().toLowerCase()]);
  const key = names.indexOf("key");
  if (key < 0) return null;
  return {
    key,
    time: names.indexOf("time"),
    op: names.indexOf("op"),
    size: names.indexOf("size"),
    count: fields.length,
  };
}
