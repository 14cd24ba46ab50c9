/**
 * Threads that run the same programs over the same maps at the same time. What must hold is counted by the
 * programs themselves; and the same test without locks must see it break, or it would prove nothing.
 */
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { ENGINES } from "../../../src/bpf/executable.ts";
import { Kernel } from "../../../src/bpf/kernel.ts";
import { createSharedMemory } from "../../../src/bpf/shared-memory.ts";
import { result, threadModule } from "../../support/thread.ts";
import { assembled } from "../assembled.ts";
import { ATOMIC, HASHED, LOCKED } from "./programs.ts";
import type { RaceInput, RaceResult } from "./race-thread.ts";

const thread = threadModule(fileURLToPath(new URL("race-thread.ts", import.meta.url)));
afterAll(() => thread.remove());

const THREADS = 4;
type Race = Pick<RaceInput, "text" | "engine" | "runs"> & { readonly brokenLocks?: boolean };

async function race({ text, engine, runs, brokenLocks = false }: Race) {
  const memory = createSharedMemory();
  // Lays out the maps, and reads them when all is over.
  const kernel = new Kernel({ cpus: THREADS, shared: { memory, cpu: THREADS } });
  kernel.load(assembled(text));
  const gate = new Int32Array(new SharedArrayBuffer(8));
  const results = Array.from({ length: THREADS }, (_, cpu) =>
    result<RaceResult>(
      thread.start({ memory, cpu, cpus: THREADS, text, engine, runs, brokenLocks, gate } satisfies RaceInput),
    ),
  );
  while (Atomics.load(gate, 1) < THREADS) await new Promise((resolve) => setTimeout(resolve, 1));
  Atomics.store(gate, 0, 1);
  Atomics.notify(gate, 0);
  const ended = await Promise.all(results);
  const [map] = kernel.maps;
  const values = [...map!.entries()].map(([key, value]) => ({
    key: new DataView(key.buffer).getUint32(0, true),
    words: new BigUint64Array(value.slice().buffer),
  }));
  return {
    total: THREADS * runs,
    torn: ended.reduce((sum, { torn }) => sum + torn, 0),
    odd: ended.reduce((sum, { odd }) => sum + odd, 0),
    faults: ended.flatMap(({ fault }) => fault ?? []),
    values,
  };
}

const sum = (numbers: readonly bigint[]): bigint => numbers.reduce((a, b) => a + b, 0n);

/** Threads on a busy machine take as long as they take. */
const TIMEOUT_MS = 120_000;

describe.each(ENGINES)("several threads over one memory, %s", { timeout: TIMEOUT_MS }, (engine) => {
  const runs = engine === "jit" ? 200_000 : 3_000;

  it("values under a bpf_spin_lock are never seen half written, and no increment is lost", async () => {
    const { total, torn, odd, faults, values } = await race({ text: LOCKED, engine, runs });
    expect({ torn, odd, faults }).toEqual({ torn: 0, odd: 0, faults: [] });
    for (const { words } of values) expect(new Set(words.subarray(1)).size).toBe(1);
    expect(sum(values.map(({ words }) => words[1]!))).toBe(BigInt(total));
  });

  it("atomics of every form lose no count", async () => {
    const { total, odd, faults, values } = await race({ text: ATOMIC, engine, runs });
    expect({ odd, faults }).toEqual({ odd: 0, faults: [] });
    const of = (word: number) => sum(values.map(({ words }) => words[word]!));
    expect(of(0)).toBe(BigInt(total));
    expect(of(1)).toBe(BigInt(total)); // 32 bits wide, alone in its word
    expect(of(2)).toBe(BigInt(total));
    expect(of(3)).toBe(BigInt(total));
    for (const { words } of values) expect(words[4]).toBe(words[0]! & 1n);
  });

  it("an LRU hash that all update, look up and delete from stays whole", async () => {
    const { odd, torn, faults, values } = await race({ text: HASHED, engine, runs: runs / 4 });
    expect({ torn, odd, faults }).toEqual({ torn: 0, odd: 0, faults: [] });
    expect(values.length).toBeLessThanOrEqual(3);
    expect(new Set(values.map(({ key }) => key)).size).toBe(values.length);
    for (const { key, words } of values) expect([...words]).toEqual([BigInt(key), BigInt(key)]);
  });
});

describe("the same without locks", { timeout: TIMEOUT_MS }, () => {
  it("is caught: half-written values are seen, or increments lost", async () => {
    let caught = false;
    // Two threads must meet in the few nanoseconds; on a busy machine that may take more than one try.
    for (let attempt = 0; attempt < 10 && !caught; attempt++) {
      const { total, torn, values } = await race({
        text: LOCKED,
        engine: "jit",
        runs: 200_000,
        brokenLocks: true,
      });
      caught = torn > 0 || sum(values.map(({ words }) => words[1]!)) !== BigInt(total);
    }
    expect(caught).toBe(true);
  });
});
