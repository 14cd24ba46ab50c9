import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseObject } from "../../../src/bpf/elf/object.ts";
import type { EngineName } from "../../../src/bpf/engine.ts";
import { Kernel, type LoadedProgram } from "../../../src/bpf/kernel.ts";
import type { PacketBuffer } from "../../../src/bpf/packet-buffer.ts";
import type { ProgramObject } from "../../../src/bpf/program.ts";
import { fnv1a, HOT_ENTRY, HOT_ENTRY_BYTES, STATE_VALID } from "../../../src/tiers/hot/layout.ts";
import { POLICY_TABLE, policyOfMap } from "../../../src/tiers/hot/policy.ts";
import { randomOf } from "./random-program.ts";

const FOLDER = new URL("../../../src/programs/", import.meta.url);
/** As the objects declare it. */
const HOT_ENTRIES = 16_384;
const PACKETS = Number(process.env.BMC_FUZZ_PACKETS ?? 40);

function http(method: string, key: string, ...headers: string[]): Buffer {
  return Buffer.from([`${method} /kv/${key} HTTP/1.1`, "Host: a", ...headers, "", ""].join("\r\n"));
}

/** Ethernet, IPv4, UDP to memcached's port and its frame header in front of a command. */
function datagram(command: string, from = 40_000, to = 11_211): Buffer {
  const udp = 8 + 8 + command.length;
  const packet = Buffer.alloc(14 + 20 + udp);
  packet.writeUInt16BE(0x0800, 12);
  packet.set([0x45, 0], 14);
  packet.writeUInt16BE(20 + udp, 16);
  packet.set([64, 17], 22);
  packet.set([10, 0, 0, 1, 10, 0, 0, 2], 26);
  packet.writeUInt16BE(from, 34);
  packet.writeUInt16BE(to, 36);
  packet.writeUInt16BE(udp, 38);
  packet.set([0, 1, 0, 0, 0, 1, 0, 0], 42);
  packet.write(command, 50, "latin1");
  return packet;
}

const SEEDS: readonly Buffer[] = [
  http("GET", "alpha"),
  http("GET", "alpha", "Connection: keep-alive", "Accept: */*"),
  http("PUT", "alpha", "Content-Length: 12"),
  http("DELETE", "b%20c", "Expect: 100-continue"),
  datagram("get alpha\r\n"),
  datagram("get alpha beta gamma\r\n"),
  datagram("set alpha 0 0 3\r\nabc\r\n"),
  datagram("VALUE alpha 0 3\r\nabc\r\nEND\r\n", 11_211, 40_000),
];

/** A seed as it is, or with some bytes changed, cut short, or drawn out. */
function packetOf(random: () => number): Uint8Array {
  const below = (n: number) => Math.floor(random() * n);
  const packet = Uint8Array.from(SEEDS[below(SEEDS.length)]!);
  for (let n = below(4); n > 0; n--) packet[below(packet.length)] = below(256);
  if (random() < 0.2) return packet.slice(0, below(packet.length));
  if (random() < 0.2) return Uint8Array.from([...packet, ...packet]);
  return packet;
}

/** Map key and entry that make GETs of this key hits, under a policy of so many ways; 0 is by hash. */
function hotEntry(key: string, value: string, ways: number): [Uint8Array, Uint8Array] {
  const entry = Buffer.alloc(HOT_ENTRY_BYTES);
  const hash = fnv1a(key);
  entry.writeUInt32LE(hash, HOT_ENTRY.hash);
  entry.writeUInt16LE(value.length, HOT_ENTRY.valueLen);
  entry.writeUInt8(key.length, HOT_ENTRY.keyLen);
  entry.writeUInt8(STATE_VALID, HOT_ENTRY.state);
  entry.write(key, HOT_ENTRY.key);
  entry.write(value, HOT_ENTRY.value);
  const slot = Buffer.alloc(4);
  slot.writeUInt32LE(ways === 0 ? hash : (hash % (HOT_ENTRIES / ways)) * ways);
  return [slot, entry];
}

/** Every program of an object on one engine, in one kernel, over the same packets. */
function history(object: ProgramObject, engine: EngineName): string[] {
  const random = randomOf(7);
  const kernel = new Kernel({ clockNs: () => 1_000n, random: () => 3 });
  const loaded = kernel.loadObject(
    object,
    object.programs.map(({ name }) => name),
    { engine, verify: false, checked: false },
  );
  for (const map of kernel.maps) {
    const policy = policyOfMap(map.def.name);
    if (policy === null) continue;
    map.set(...hotEntry("alpha", "a value", policy === "lru" ? 0 : POLICY_TABLE[policy].ways));
  }
  const buffers = new Map<string, PacketBuffer>();
  const lines: string[] = [];
  for (let i = 0; i < PACKETS; i++) {
    const packet = packetOf(random);
    for (const [name, program] of loaded) {
      const buffer = buffers.get(program.type) ?? kernel.createPacketBuffer(program.type);
      buffers.set(program.type, buffer);
      lines.push(`${i} ${name}: ${outcome(program, buffer, packet)}`);
    }
  }
  for (const map of kernel.maps) {
    for (const [key, value] of map.entries()) {
      if (value.some((byte) => byte !== 0)) lines.push(`${map.def.name} ${hex(key)} ${hex(value)}`);
    }
  }
  return lines;
}

function outcome(program: LoadedProgram, buffer: PacketBuffer, packet: Uint8Array): string {
  buffer.reset(packet);
  const verdict = program.run(buffer.ctxAddress);
  return `${verdict} ${program.fault?.message ?? ""} ${program.stats.instructions} ${hex(buffer.bytes())}`;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

describe("the JIT and the interpreter", () => {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith(".bpf.o"));
  test.each(files)(`agree on %s over ${PACKETS} packets: verdicts, packets, maps, counts`, (file) => {
    const parsed = parseObject(readFileSync(new URL(file, FOLDER)));
    if (!parsed.ok) throw new Error(parsed.error.message);
    const ours = history(parsed.object, "jit");
    expect(ours).toEqual(history(parsed.object, "interpreter"));
    if (file.startsWith("http"))
      expect(ours.some((line) => line.includes(hex(Buffer.from("200 OK"))))).toBe(true);
  });
});
