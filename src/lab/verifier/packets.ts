/** Packets to run a program on, and what the maps must hold for them. */
import type { Seed } from "./run-program.ts";

const ascii = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));

/** An Ethernet, IPv4 and UDP frame round a payload, as XDP and tc see it. */
function udpFrame(port: number, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(42 + payload.length);
  const view = new DataView(frame.buffer);
  frame.set([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1], 0);
  view.setUint16(12, 0x0800);
  view.setUint8(14, 0x45);
  view.setUint16(16, 28 + payload.length);
  view.setUint8(22, 64);
  view.setUint8(23, 17);
  frame.set([10, 0, 0, 1, 10, 0, 0, 2], 26);
  view.setUint16(34, 40_000);
  view.setUint16(36, port);
  view.setUint16(38, 8 + payload.length);
  frame.set(payload, 42);
  let sum = 0;
  for (let at = 14; at < 34; at += 2) sum += view.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(24, ~sum & 0xffff);
  return frame;
}

/** BMC's frame header: request id, sequence number, datagrams, reserved. */
const memcachedGet = (key: string) => ascii(`\0\x01\0\0\0\x01\0\0get ${key}\r\n`);
const httpGet = (key: string) => ascii(`GET /kv/${key} HTTP/1.1\r\nHost: localhost\r\n\r\n`);

export const PACKETS: readonly { readonly name: string; readonly bytes: Uint8Array }[] = [
  { name: "GET /kv/hello (in the hot map)", bytes: httpGet("hello") },
  { name: "GET /kv/nobody (not in it)", bytes: httpGet("nobody") },
  {
    name: "PUT /kv/hello",
    bytes: ascii("PUT /kv/hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi"),
  },
  { name: "memcached get hello, over UDP", bytes: udpFrame(11_211, memcachedGet("hello")) },
  { name: "one byte", bytes: Uint8Array.of(0xff) },
];

/** As src/programs/hot_map.h lays an entry out: offsets of struct hot_entry. */
const ENTRY = { bytes: 1_320, hash: 4, valueLen: 36, keyLen: 38, state: 39, key: 40, value: 296 } as const;
const ENTRIES = 16_384;
const VALID = 1;

function fnv1a(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** `hello` in the hot map, for programs that have one. */
export const SEEDS: readonly Seed[] = [hotEntry("hello", "Hello from the hot map")];

function hotEntry(keyText: string, valueText: string): Seed {
  const key = ascii(keyText);
  const entry = new Uint8Array(ENTRY.bytes);
  const view = new DataView(entry.buffer);
  const hash = fnv1a(key);
  view.setUint32(ENTRY.hash, hash, true);
  view.setUint16(ENTRY.valueLen, valueText.length, true);
  view.setUint8(ENTRY.keyLen, key.length);
  view.setUint8(ENTRY.state, VALID);
  entry.set(key, ENTRY.key);
  entry.set(ascii(valueText), ENTRY.value);
  const index = new Uint8Array(4);
  new DataView(index.buffer).setUint32(0, hash % ENTRIES, true);
  return { map: "hot_map", key: index, value: entry };
}
