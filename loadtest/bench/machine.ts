/**
 * What the machine's parts cost: interpreter speed, look-ups and updates of hash maps from compiled code,
 * an empty run, putting a packet in. `npm run bench:machine`. Each figure is the best of several rounds,
 * because a shared machine only ever adds time.
 */
import { fileURLToPath } from "node:url";
import { assemble } from "../../src/bpf/assembler.ts";
import { Kernel, type LoadedProgram } from "../../src/bpf/kernel.ts";
import type { PacketBuffer } from "../../src/bpf/packet-buffer.ts";
import type { Program } from "../../src/bpf/program.ts";

export type Figure = { readonly what: string; readonly value: number; readonly unit: "ns" | "M insn/s" };

const ENTRIES = 1_000;
const KEYS = [
  { type: "hash", bytes: 4 },
  { type: "hash", bytes: 8 },
  { type: "hash", bytes: 64 },
  { type: "lru_hash", bytes: 8 },
  { type: "percpu_hash", bytes: 8 },
] as const;
const PACKETS = [100, 1_000];

/** @param scale share of the full measurement, 1 for figures to publish */
export function benchmark(scale = 1): Figure[] {
  const rounds = Math.max(1, Math.round(7 * scale));
  const turns = Math.max(10, Math.round(300 * scale));
  return [
    interpreterSpeed(rounds, turns),
    emptyRun(rounds, turns * ENTRIES),
    ...PACKETS.flatMap((bytes) => packetIn(bytes, rounds, turns * ENTRIES)),
    ...KEYS.map(({ type, bytes }) => mapCalls("look-up", type, bytes, rounds, turns)),
    mapCalls("update", "hash", 8, rounds, turns),
    mapCalls("update", "lru_hash", 8, rounds, turns),
  ];
}

export function format(figures: readonly Figure[]): string {
  const rows = figures.map(({ what, value, unit }) => `| ${what} | ${value.toFixed(1)} | ${unit} |`);
  return ["| what | best | unit |", "|---|---|---|", ...rows].join("\n");
}

function program(text: string): Program {
  const result = assemble(text, { type: "xdp" });
  if (!result.ok) throw new Error(result.errors[0].message);
  return result.program;
}

function prepared(text: string, engine: "jit" | "interpreter") {
  const kernel = new Kernel();
  const packet = kernel.createPacketBuffer("xdp");
  const loaded = kernel.load(program(text), { engine });
  packet.reset(new Uint8Array(64));
  return { kernel, packet, loaded };
}

/** Nanoseconds of one of `count` operations, in the best round. */
function best(rounds: number, count: number, work: () => void): number {
  work();
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    work();
    least = Math.min(least, ((performance.now() - start) * 1e6) / count);
  }
  return least;
}

function runs(loaded: LoadedProgram, packet: PacketBuffer, count: number): () => void {
  return () => {
    for (let i = 0; i < count; i++) loaded.run(packet.ctxAddress);
    if (loaded.fault) throw new Error(loaded.fault.message);
  };
}

function interpreterSpeed(rounds: number, turns: number): Figure {
  const text = `r0 = 0
r2 = ${ENTRIES}
*(u64 *)(r10 - 8) = 0
again: r3 = *(u32 *)(r10 - 8)
r3 += r2
w3 ^= 5
*(u32 *)(r10 - 8) = r3
r0 += r3
r2 -= 1
if r2 != 0 goto again
exit`;
  const { packet, loaded } = prepared(text, "interpreter");
  const ns = best(rounds, turns, runs(loaded, packet, turns));
  const perRun = loaded.stats.instructions / loaded.stats.runs;
  return { what: "interpreter, arithmetic and stack", value: (perRun / ns) * 1e3, unit: "M insn/s" };
}

function emptyRun(rounds: number, count: number): Figure {
  const { packet, loaded } = prepared("r0 = 2\nexit", "jit");
  return { what: "empty program, jit", value: best(rounds, count, runs(loaded, packet, count)), unit: "ns" };
}

function packetIn(bytes: number, rounds: number, count: number): Figure[] {
  const packet = new Kernel().createPacketBuffer("sk_skb");
  const whole = Buffer.alloc(bytes);
  const stream = Buffer.alloc(bytes * 4);
  const put = (source: Buffer, offset: number) => () => {
    for (let i = 0; i < count; i++) packet.reset(source, offset, bytes);
  };
  return [
    { what: `a chunk of ${bytes} B in`, value: best(rounds, count, put(whole, 0)), unit: "ns" },
    { what: `${bytes} B from within a chunk in`, value: best(rounds, count, put(stream, bytes)), unit: "ns" },
  ];
}

function mapCalls(
  what: "look-up" | "update",
  type: (typeof KEYS)[number]["type"],
  keyBytes: number,
  rounds: number,
  turns: number,
): Figure {
  const valueAt = keyBytes + 64;
  const zeros = Array.from({ length: valueAt / 4 }, (_, i) => `*(u32 *)(r10 - ${4 * (i + 1)}) = 0`);
  const call =
    what === "look-up"
      ? ["call bpf_map_lookup_elem#1"]
      : ["r3 = r10", `r3 += -${valueAt}`, "r4 = 0", "call bpf_map_update_elem#2"];
  const text = [
    `.map m ${type} key=${keyBytes} value=64 entries=${ENTRIES}`,
    ...zeros,
    `r6 = ${ENTRIES}`,
    "again:",
    `*(u32 *)(r10 - ${keyBytes}) = r6`,
    "r1 = m ll",
    "r2 = r10",
    `r2 += -${keyBytes}`,
    ...call,
    "r6 -= 1",
    "if r6 != 0 goto again",
    "r0 = 2",
    "exit",
  ].join("\n");
  const { kernel, packet, loaded } = prepared(text, "jit");
  const [map] = [...kernel.maps];
  for (let i = 1; i <= ENTRIES; i++) {
    const key = Buffer.alloc(keyBytes);
    key.writeUInt32LE(i);
    map?.set(key, new Uint8Array(64));
  }
  const value = best(rounds, turns * ENTRIES, runs(loaded, packet, turns));
  return { what: `${type} ${what}, ${keyBytes} B keys, jit`, value, unit: "ns" };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.stdout.write(`${format(benchmark())}\n`);
}
