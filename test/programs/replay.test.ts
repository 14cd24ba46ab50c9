/**
 * What BMC's direct-mapped choice costs: one Zipf trace through the real programs of each policy. A get that
 * misses is answered by a reply, which the tc program learns from, as in service. Held against the model of the
 * simulator, hit for hit, and for direct-mapped against the closed form.
 */
import { readFileSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { XDP_ACTION } from "../../src/bpf/context.ts";
import { parseObject } from "../../src/bpf/elf/object.ts";
import { directMappedHitRatio, idealHitRatio } from "../../src/sim/closed-form.ts";
import { createHotTier } from "../../src/sim/hot-tier.ts";
import { keyHash, keyText } from "../../src/sim/keys.ts";
import { Prng } from "../../src/sim/prng.ts";
import { Zipf } from "../../src/sim/zipf.ts";
import { HotMachine } from "../../src/tiers/hot/machine.ts";
import { HOT_POLICIES, type HotPolicy, SET_WAYS } from "../../src/tiers/hot/policy.ts";
import { STATS } from "../../src/tiers/hot/run-info.ts";
import { objectPath, variantsOf } from "./machines.ts";
import { udp } from "./packets.ts";

const KEYS = 16_384;
const ENTRIES = 4_096;
const SKEW = 0.99;
const WARM_UP = 60_000;
const MEASURED = 120_000;
/** Where the text begins in a frame, and the key in a request and in a reply. */
const TEXT_AT = 50;
const REQUEST_KEY_AT = TEXT_AT + "get ".length;
const REPLY_KEY_AT = TEXT_AT + "VALUE ".length;

type Result = { readonly hitRatio: number; readonly collisions: number };
const results = new Map<HotPolicy, Result>();

function replay(policy: HotPolicy, object: string): Result {
  const parsed = parseObject(readFileSync(objectPath(object)));
  if (!parsed.ok) throw new Error(parsed.error.message);
  const machine = new HotMachine({ entries: ENTRIES, policy, engine: "jit" });
  const rx = machine.loadWithTailCalls(parsed.object, "rx_filter");
  const tx = machine.loadWithTailCalls(parsed.object, "tx_filter");
  const ingress = machine.kernel.createPacketBuffer("xdp");
  const egress = machine.kernel.createPacketBuffer("tc");
  const model = createHotTier(policy, ENTRIES, SET_WAYS);
  const zipf = new Zipf(KEYS, SKEW);
  const rng = new Prng(20_211);
  const request = udp(`get ${keyText(0)}\r\n`);
  const reply = udp(`VALUE ${keyText(0)} 0 5\r\nvalue\r\nEND\r\n`, { toServer: false });
  const stat = (name: string): number => {
    const index = STATS.find((row) => row.name === name)!.index;
    return Number(Buffer.from(machine.map("stats")!.get(new Uint8Array(4))!).readBigUInt64LE(8 * index));
  };
  let hits = 0;
  let differences = 0;
  let before = 0;
  for (let i = 0; i < WARM_UP + MEASURED; i++) {
    if (i === WARM_UP) before = stat("MC_COLLISION");
    const id = zipf.sample(rng);
    const key = keyText(id);
    request.write(key, REQUEST_KEY_AT, "latin1");
    ingress.reset(request);
    const isHit = rx.run(ingress.ctxAddress) === XDP_ACTION.tx;
    if (isHit !== model.lookup(id, keyHash(id))) differences++;
    if (isHit) {
      if (i >= WARM_UP) hits++;
      continue;
    }
    reply.write(key, REPLY_KEY_AT, "latin1");
    egress.reset(reply);
    tx.run(egress.ctxAddress);
    model.fill(id, keyHash(id));
  }
  expect([rx.fault, tx.fault, differences]).toEqual([null, null, 0]);
  return { hitRatio: hits / MEASURED, collisions: (stat("MC_COLLISION") - before) / MEASURED };
}

test.each(variantsOf("memcached"))(
  "$object: the programs hit what the model hits, request by request",
  ({ policy, object }) => {
    results.set(policy, replay(policy, object));
  },
  120_000,
);

test("direct-mapped is its closed form; sets and LRU come nearer the ideal, in this order", () => {
  const { direct, set, lru } = Object.fromEntries(results) as Record<HotPolicy, Result>;
  expect(Math.abs(direct.hitRatio - directMappedHitRatio(KEYS, ENTRIES, SKEW))).toBeLessThan(0.004);
  expect(set.hitRatio).toBeGreaterThan(direct.hitRatio + 0.02);
  expect(lru.hitRatio).toBeGreaterThan(direct.hitRatio + 0.02);
  const ideal = idealHitRatio(KEYS, ENTRIES, SKEW);
  for (const { hitRatio } of [direct, set, lru]) expect(hitRatio).toBeLessThan(ideal);
  // What the counter is for: nearly every miss of the direct-mapped tier is a place somebody else has.
  expect(direct.collisions / (1 - direct.hitRatio)).toBeGreaterThan(0.95);
  expect(lru.collisions).toBe(0);
});

afterAll(() => {
  const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;
  for (const policy of HOT_POLICIES) {
    const result = results.get(policy);
    if (!result) continue;
    console.log(`${policy}: hits ${percent(result.hitRatio)}, collisions ${percent(result.collisions)}`);
  }
  console.log(`closed form, direct: ${percent(directMappedHitRatio(KEYS, ENTRIES, SKEW))}`);
  console.log(`the hottest ${ENTRIES} keys: ${percent(idealHitRatio(KEYS, ENTRIES, SKEW))}`);
});
