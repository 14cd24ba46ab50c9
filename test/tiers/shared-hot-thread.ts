/** One worker of the hot tier's race test: fills, invalidates and writes as a server does, reads as the hook does. */
import { readFileSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { parseObject } from "../../src/bpf/elf/object.ts";
import { AF_INET } from "../../src/hooks/socket-key.ts";
import { FATE, loadStreamPair, StreamPrograms } from "../../src/hooks/stream-programs.ts";
import { fnv1a } from "../../src/tiers/hot/layout.ts";
import { HotMachine } from "../../src/tiers/hot/machine.ts";

export type HotRaceInput = {
  readonly memory: WebAssembly.Memory;
  readonly cpu: number;
  readonly cpus: number;
  readonly objectPath: string;
  readonly entries: number;
  readonly rounds: number;
  readonly brokenLocks: boolean;
  readonly proved: readonly string[];
};
export type HotRaceResult = {
  readonly hits: number;
  readonly fills: number;
  readonly wrong: readonly string[];
};

const { memory, cpu, cpus, objectPath, entries, rounds, brokenLocks, proved } = workerData as HotRaceInput;
const parsed = parseObject(readFileSync(objectPath));
if (!parsed.ok) throw new Error(parsed.error.message);
const clockNs = () => process.hrtime.bigint();
const machine = new HotMachine({
  entries,
  engine: "jit",
  clockNs,
  shared: { memory, cpu, cpus, brokenLocks },
  proved,
});
const programs = new StreamPrograms(machine, loadStreamPair(machine, parsed.object));
programs.date.refresh();
// 0.0.0.0 port 0, as the program spells it: IPv4 mapped into IPv6.
const key = new Uint8Array(24).fill(0xff, 10, 12);
const identity = { family: AF_INET, key, words: new Uint32Array(key.buffer) };
const HANDLE = 1;
programs.addSocket(identity, HANDLE);

const KEYS = ["k", "key-two", "the-third-key-is-longer"];
/** A value tells its key, and is the same piece over and over: one of another fill's bytes shows. */
const filled = (key: string, n: number) => Buffer.alloc(400 + (n % 600), `${key}:${n};`, "latin1");
const request = (key: string) =>
  Buffer.from(`GET /kv/${key} HTTP/1.1\r\nHost: h\r\n${"X-Room: 1234567890\r\n".repeat(60)}\r\n`);
const requests = KEYS.map(request);
const wrong: string[] = [];
let hits = 0;
for (let n = 0; n < rounds; n++) {
  const which = (n * 7 + cpu) % KEYS.length;
  const key = KEYS[which] as string;
  const hash = fnv1a(key);
  const slot = machine.hot.slotOf(hash);
  if (n % 11 === 0) machine.hot.endWrite(machine.hot.beginWrite(key));
  else if (n % 5 === 0) machine.hot.invalidate(key);
  if (n % 2 === 0) {
    const item = { value: filled(key, n), flags: n, expiresAtMs: 0, cas: BigInt(n) };
    machine.hot.fill(slot, hash, machine.hot.generation(slot), key, item, Date.now());
  }
  const bytes = requests[which] as Buffer;
  const length = programs.frame(bytes, 0, bytes.length, identity);
  if (length !== bytes.length) throw new Error(`framed ${length} of ${bytes.length} bytes`);
  if (programs.judge(length, HANDLE) !== FATE.reply) continue;
  hits++;
  const { data, dataEnd } = programs.packet;
  const reply = Buffer.from(programs.memoryBytes.subarray(data, dataEnd));
  const body = reply.subarray(reply.indexOf("\r\n\r\n") + 4);
  const start = body.toString("latin1", 0, 80);
  const fill = Number(/^[^:]*:(\d+);/.exec(start)?.[1] ?? 0);
  if (!body.equals(filled(key, fill)) && wrong.length < 5) wrong.push(`${key}: ${start}`);
}
parentPort?.postMessage({ hits, fills: machine.hot.fills, wrong } satisfies HotRaceResult);
