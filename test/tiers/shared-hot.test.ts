/**
 * The hot tier under several workers: BMC-shaped entries, the shipped program reading them, userspace filling
 * and invalidating. Each value tells its key and its fill, so that a torn or a foreign one is seen.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { parseObject } from "../../src/bpf/elf/object.ts";
import { createSharedMemory } from "../../src/bpf/shared-memory.ts";
import type { Item } from "../../src/tiers/cold/store.ts";
import { fnv1a, HOT_ENTRY } from "../../src/tiers/hot/layout.ts";
import { HotMachine } from "../../src/tiers/hot/machine.ts";
import { result, threadModule } from "../support/thread.ts";
import type { HotRaceInput, HotRaceResult } from "./shared-hot-thread.ts";

const objectPath = fileURLToPath(new URL("../../src/programs/http_kv.bpf.o", import.meta.url));
const thread = threadModule(fileURLToPath(new URL("shared-hot-thread.ts", import.meta.url)));
afterAll(() => thread.remove());
const CPUS = 3;
const clockNs = () => process.hrtime.bigint();
/** Verified once, by whichever machine is first. */
let proved: readonly string[] = [];
const machineOf = (memory: WebAssembly.Memory, cpu: number, entries = 64) =>
  new HotMachine({ entries, engine: "jit", clockNs, shared: { memory, cpu, cpus: CPUS }, proved });
/** Threads on a busy machine take as long as they take. */
const TIMEOUT_MS = 180_000;

async function race(rounds: number, brokenLocks: boolean) {
  const memory = createSharedMemory();
  const entries = 1; // all keys fight for one slot
  const machine = machineOf(memory, CPUS, entries);
  const parsed = parseObject(readFileSync(objectPath));
  if (!parsed.ok) throw new Error(parsed.error.message);
  for (const program of parsed.object.programs) machine.load(program);
  proved = [...machine.proved];
  const results = await Promise.all(
    Array.from({ length: CPUS }, (_, cpu) =>
      result<HotRaceResult>(
        thread.start({
          memory,
          cpu,
          cpus: CPUS,
          objectPath,
          entries,
          rounds,
          brokenLocks,
          proved,
        } satisfies HotRaceInput),
      ),
    ),
  );
  const writers = machine.kernel.rt.memory.view.getUint32(machine.hot.slotOf(0) + HOT_ENTRY.writers, true);
  return {
    hits: results.reduce((sum, { hits }) => sum + hits, 0),
    fills: results.reduce((sum, { fills }) => sum + fills, 0),
    wrong: results.flatMap(({ wrong }) => wrong),
    writers,
    machine,
  };
}

describe("a hot entry that several workers fill, invalidate and read", { timeout: TIMEOUT_MS }, () => {
  it("is never served torn, nor for another key, and no write is forgotten or left open", async () => {
    const { hits, fills, wrong, writers } = await race(10_000, false);
    expect(wrong).toEqual([]);
    expect(writers).toBe(0);
    expect(hits).toBeGreaterThan(1_000);
    expect(fills).toBeGreaterThan(1_000);
  });

  it("without locks is: this test can fail", async () => {
    let caught = false;
    for (let attempt = 0; attempt < 5 && !caught; attempt++) {
      const { wrong, writers } = await race(10_000, true);
      caught = wrong.length > 0 || writers !== 0;
    }
    expect(caught).toBe(true);
  });
});

const item: Item = { value: new Uint8Array([1, 2, 3]), flags: 0, expiresAtMs: 0, cas: 1n };

describe("a worker's death", () => {
  it("takes its writes back, and only its own", async () => {
    const memory = createSharedMemory();
    const [a, b, main] = [machineOf(memory, 0), machineOf(memory, 1), machineOf(memory, CPUS)];
    const slot = a.hot.beginWrite("k");
    a.hot.beginWrite("k");
    b.hot.beginWrite("k");
    const writers = () => main.kernel.rt.memory.view.getUint32(slot + HOT_ENTRY.writers, true);
    expect(writers()).toBe(3);
    expect(await main.hot.buryWorker(0)).toBe(1);
    expect(writers()).toBe(1);
    const fill = () => b.hot.fill(slot, fnv1a("k"), b.hot.generation(slot), "k", item, 0);
    expect(fill()).toBe("raced");
    b.hot.endWrite(slot);
    expect(fill()).toBe("stored");
    expect(await main.hot.buryWorker(0)).toBe(0);
    expect(main.hot.countValid()).toBe(1);
  });

  it("in the middle of a fill leaves the entry dead, its fills too late, and its lock free", async () => {
    const memory = createSharedMemory();
    const [a, b, main] = [machineOf(memory, 0), machineOf(memory, 1), machineOf(memory, CPUS)];
    const slot = a.hot.slotOf(fnv1a("k"));
    const generation = a.hot.generation(slot);
    expect(a.hot.fill(slot, fnv1a("k"), generation, "k", item, 0)).toBe("stored");
    a.kernel.rt.lock(slot);
    expect(await main.hot.buryWorker(0)).toBe(1);
    expect(main.hot.countValid()).toBe(0);
    expect(b.hot.fill(slot, fnv1a("k"), generation, "k", item, 0)).toBe("raced");
  });

  it("at the same moment as another's, who holds the lock of its entry: both are buried, whoever is first", async () => {
    for (const order of [
      [0, 1],
      [1, 0],
    ]) {
      const memory = createSharedMemory();
      const [a, b, main] = [machineOf(memory, 0), machineOf(memory, 1), machineOf(memory, CPUS)];
      const slot = a.hot.beginWrite("k");
      b.kernel.rt.lock(slot);
      const buried = await Promise.all(order.map((cpu) => main.hot.buryWorker(cpu)));
      expect(buried).toEqual([1, 1]);
      const words = main.kernel.rt.memory.view;
      expect([HOT_ENTRY.lock, HOT_ENTRY.writers].map((at) => words.getUint32(slot + at, true))).toEqual([
        0, 0,
      ]);
    }
  });

  it("whose machine lies where the memory has grown since: its lock is found all the same", async () => {
    const memory = createSharedMemory();
    const main = machineOf(memory, CPUS);
    main.kernel.rt.memory.alloc(memory.buffer.byteLength, 64, "what fills the memory");
    const a = machineOf(memory, 0);
    const slot = a.hot.slotOf(fnv1a("k"));
    a.kernel.rt.lock(slot);
    expect(await main.hot.buryWorker(0)).toBe(1);
    expect(main.kernel.rt.memory.view.getUint32(slot + HOT_ENTRY.lock, true)).toBe(0);
  });
});
