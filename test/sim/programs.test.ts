/** The model of the hot tier against the very programs: one sequence of requests, the same hits one by one. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parseObject } from "../../src/bpf/elf/object.ts";
import { testRun } from "../../src/bpf/test-run.ts";
import { createHotTier } from "../../src/sim/hot-tier.ts";
import { keyHash, keyText } from "../../src/sim/keys.ts";
import { Prng } from "../../src/sim/prng.ts";
import { Zipf } from "../../src/sim/zipf.ts";
import { fnv1a } from "../../src/tiers/hot/layout.ts";
import { HotMachine } from "../../src/tiers/hot/machine.ts";
import { HOT_POLICIES, POLICY_TABLE, SET_WAYS } from "../../src/tiers/hot/policy.ts";

/** verdict_twin's answer for a hit (run_reason RUN_HIT of hot_map.h). */
const RUN_HIT = 1;

const SIZES = [
  [64, 1000, 0.99],
  [250, 1000, 1.2],
  [1, 3, 0.5],
] as const;
const CASES = HOT_POLICIES.flatMap((policy) => SIZES.map((size) => [policy, ...size] as const));

test.each(CASES)(
  "%s, %i entries, %i keys, skew %d: programs and model hit the same requests",
  (policy, entries, keys, skew) => {
    const { objectSuffix } = POLICY_TABLE[policy];
    const object = parseObject(readFileSync(`src/programs/http_kv_twin${objectSuffix}.bpf.o`));
    if (!object.ok) throw new Error(object.error.message);
    const machine = new HotMachine({ entries, policy, engine: "jit" });
    const packet = machine.kernel.createPacketBuffer("tc", { roomBytes: 4096 });
    const verdict = machine.load(object.object.programs.find((p) => p.name === "verdict_twin")!);
    const tier = createHotTier(policy, machine.hot.entries, SET_WAYS);
    const zipf = new Zipf(keys, skew);
    const rng = new Prng(77);
    const value = new TextEncoder().encode("a value of some bytes");
    // The LRU policy's slots are shared by keys, and a write ends the entries of all of them; the model knows no
    // slots. So only keys that have theirs alone are written there.
    const owners = new Map<number, number>();
    const slotOf = (id: number): number => machine.hot.slotOf(keyHash(id));
    for (let id = 0; id < keys; id++) owners.set(slotOf(id), (owners.get(slotOf(id)) ?? 0) + 1);
    const isWritable = (id: number): boolean => policy !== "lru" || owners.get(slotOf(id)) === 1;
    let hits = 0;
    const requests = 4000;
    for (let i = 0; i < requests; i++) {
      const id = zipf.sample(rng);
      const key = keyText(id);
      const hash = keyHash(id);
      expect(fnv1a(key)).toBe(hash);
      if (rng.below(10) === 0 && isWritable(id)) {
        machine.hot.invalidate(key);
        tier.invalidate(id, hash);
        continue;
      }
      const slot = machine.hot.slotOf(hash);
      const generation = machine.hot.generation(slot);
      const data = new TextEncoder().encode(`GET /kv/${key} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      const { retval, fault } = testRun(machine.kernel, verdict, packet, { data });
      expect(fault).toBeNull();
      const hit = retval === RUN_HIT;
      expect(hit, `request ${i}, key ${key}`).toBe(tier.lookup(id, hash));
      if (hit) hits++;
      else {
        const item = { value, flags: 0, cas: 1n, expiresAtMs: 0 };
        expect(machine.hot.fill(slot, hash, generation, key, item, 0)).toBe("stored");
        tier.fill(id, hash);
      }
    }
    expect(hits).toBeGreaterThan(requests / 10);
    expect(hits).toBeLessThan(requests * 0.95);
  },
);
