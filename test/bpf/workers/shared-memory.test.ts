import { describe, expect, it, test } from "vitest";
import { bury } from "../../../src/bpf/burial.ts";
import { Kernel } from "../../../src/bpf/kernel.ts";
import type { BpfMap } from "../../../src/bpf/maps/map.ts";
import type { MapDef } from "../../../src/bpf/program.ts";
import { STATE } from "../../../src/bpf/runtime.ts";
import { createSharedMemory } from "../../../src/bpf/shared-memory.ts";
import { assembled } from "../assembled.ts";

const CPUS = 2;
const at = (memory: WebAssembly.Memory, cpu: number) => new Kernel({ cpus: CPUS, shared: { memory, cpu } });
const map = (def: Partial<MapDef>): MapDef => ({
  name: "m",
  type: "array",
  keyBytes: 4,
  valueBytes: 8,
  maxEntries: 4,
  flags: 0,
  ...def,
});
const u32 = (n: number) => new Uint8Array(new Uint32Array([n]).buffer);
const u64 = (...n: number[]) => new Uint8Array(new BigUint64Array(n.map(BigInt)).buffer);
const dump = (m: BpfMap) =>
  [...m.entries()].map(([key, value]) => [new DataView(key.buffer).getUint32(0, true), value[0]]);

describe("kernels over one memory", () => {
  it.each(["array", "hash", "lru_hash"] as const)("see each other's changes of a %s", (type) => {
    const memory = createSharedMemory();
    const [a, b] = [at(memory, 0), at(memory, 1)].map((kernel) => kernel.createMap(map({ type })));
    expect(a!.set(u32(2), u64(7))).toBe(0);
    expect(b!.get(u32(2))).toEqual(u64(7));
    expect(b!.set(u32(2), u64(8))).toBe(0);
    expect(a!.get(u32(2))).toEqual(u64(8));
    expect(a!.size).toBe(b!.size);
  });

  it("agree on addresses whatever the order in which they ask", () => {
    const memory = createSharedMemory();
    const [first, second] = [map({ name: "first" }), map({ name: "second" })];
    const a = [first, second].map((def) => at(memory, 0).createMap(def).values?.base);
    const b = at(memory, 1);
    expect([b.createMap(second), b.createMap(first)].map((m) => m.values?.base)).toEqual(a.reverse());
  });

  it("initialise a map once", () => {
    const memory = createSharedMemory();
    const def = map({ name: ".data", maxEntries: 1, initialValue: u64(5) });
    const a = at(memory, 0).createMap(def);
    a.set(u32(0), u64(6));
    expect(at(memory, 1).createMap(def).get(u32(0))).toEqual(u64(6));
  });

  it("keep socket maps, program arrays, and what is asked for as a kernel's own, apart", () => {
    const memory = createSharedMemory();
    const [a, b] = [at(memory, 0), at(memory, 1)];
    const own = map({ name: "own" });
    a.createMap(own, true).set(u32(0), u64(1));
    expect(b.createMap(own, true).get(u32(0))).toEqual(u64(0));
    const sockets = map({ name: "sockets", type: "sockhash", valueBytes: 4 });
    a.createMap(sockets).set(u32(1), u32(9));
    expect(b.createMap(sockets).get(u32(1))).toBeNull();
  });

  it("count on their own CPU, and read all", () => {
    const memory = createSharedMemory();
    const def = map({ type: "percpu_array", maxEntries: 1 });
    for (const cpu of [0, 1]) {
      const kernel = at(memory, cpu);
      const address = (kernel.createMap(def).values?.base ?? 0) + 8 * kernel.rt.cpu;
      kernel.rt.memory.view.setBigUint64(address, BigInt(10 + cpu), true);
    }
    expect(at(memory, CPUS).createMap(def).get(u32(0))).toEqual(u64(10, 11));
  });

  it("a kernel in a dead one's place takes its stack and buffers, and the memory does not grow", () => {
    const memory = createSharedMemory();
    const start = () => {
      const kernel = at(memory, 0);
      return [kernel.rt.stackTop, kernel.createPacketBuffer("xdp").hardStart];
    };
    const first = start();
    const bytes = memory.buffer.byteLength;
    for (let i = 0; i < 50; i++) expect(start()).toEqual(first);
    expect(memory.buffer.byteLength).toBe(bytes);
    expect(at(memory, 1).rt.stackTop).not.toBe(first[0]);
  });

  it("refuse a map of another size than the others have", () => {
    const memory = createSharedMemory();
    at(memory, 0).createMap(map({ type: "hash", valueBytes: 64 }));
    expect(() => at(memory, 1).createMap(map({ type: "hash", valueBytes: 640 }))).toThrow(
      /all machines over one memory must load the same programs and maps/,
    );
  });

  it("reach what another has grown the memory for", () => {
    const memory = createSharedMemory();
    const b = at(memory, 1);
    const big = map({ name: "big", maxEntries: 100_000 });
    at(memory, 0).createMap(big).set(u32(99_999), u64(3));
    expect(b.createMap(big).get(u32(99_999))).toEqual(u64(3));
  });
});

const UNALIGNED = `
.map slots array key=4 value=16 entries=1
  *(u32 *)(r10 - 4) = 0
  r2 = r10
  r2 += -4
  r1 = slots ll
  call bpf_map_lookup_elem
  if r0 == 0 goto out
  r1 = 1
  lock *(u64 *)(r0 + 4) += r1
out:
  r0 = 0
  exit
`;

test.each([
  ["jit", /unaligned/],
  ["interpreter", /atomic of 8 bytes at 0x[0-9a-f]+4 is not aligned, which a shared memory demands/],
] as const)("an unaligned atomic is a fault of the run, in the %s", (engine, message) => {
  const kernel = at(createSharedMemory(), 0);
  const program = kernel.load(assembled(UNALIGNED), { engine, verify: false });
  const packet = kernel.createPacketBuffer("xdp");
  packet.reset(new Uint8Array(64));
  program.run(packet.ctxAddress);
  expect(program.fault?.message).toMatch(message);
});

describe("the death of a CPU", () => {
  const locked = map({ valueBytes: 16, spinLockOffset: 0 });

  it("leaves a bpf_spin_lock to whoever buries it", () => {
    const memory = createSharedMemory();
    const dead = at(memory, 0);
    const lock = dead.createMap(locked).values!.base;
    dead.rt.lock(lock);
    const sexton = at(memory, CPUS);
    expect(bury(sexton, 0)).toEqual({ spinLock: lock, repaired: [] });
    expect(sexton.rt.locks!.bury(lock, 0)).toBe(true);
    at(memory, 1).rt.lock(lock);
    expect(bury(sexton, 0).spinLock).toBe(0); // another's now
  });

  it("a lock it only waited for stays its holder's", () => {
    const memory = createSharedMemory();
    const [holder, dead] = [at(memory, 1), at(memory, 0)];
    const lock = dead.createMap(locked).values!.base;
    holder.rt.lock(lock);
    dead.rt.memory.words[(dead.rt.stateAddress + STATE.heldLock) >> 2] = lock;
    expect(bury(at(memory, CPUS), 0)).toEqual({ spinLock: 0, repaired: [] });
    expect(holder.rt.locks!.isHeldBy(lock, 1)).toBe(true);
  });

  it("in the middle of a change of a hash leaves the live elements, and the map usable", () => {
    const memory = createSharedMemory();
    const def = map({ type: "lru_hash", maxEntries: 8 });
    const sexton = at(memory, CPUS);
    const seen = sexton.createMap(def);
    const dead = at(memory, 0);
    const its = dead.createMap(def);
    for (let i = 0; i < 8; i++) its.set(u32(i), u64(i));
    its.remove(u32(3));
    // Its last words: the lock taken, and a chain cut.
    const { words } = dead.rt.memory;
    const mapLock = words[(dead.rt.stateAddress + STATE.heldMapLock) >> 2];
    expect(mapLock).toBe(0);
    const table = sexton.rt.memory.directory!.find(0, "links of map 'm' (8 entries)");
    dead.rt.locks!.take(table, dead.rt.stateAddress + STATE.heldMapLock);
    words.fill(0, (table >> 2) + 16, (table >> 2) + 16 + 8);
    expect(bury(sexton, 0)).toEqual({ spinLock: 0, repaired: ["m"] });
    const left = [0, 1, 2, 4, 5, 6, 7];
    expect(dump(seen).sort()).toEqual(left.map((i) => [i, i]));
    for (const i of left) expect(seen.get(u32(i))).toEqual(u64(i));
    for (let i = 20; i < 40; i++) expect(seen.set(u32(i), u64(i))).toBe(0);
    expect(seen.size).toBe(8);
    for (const [key] of [...seen.entries()]) expect(seen.remove(key)).toBe(0);
    expect(seen.size).toBe(0);
  });
});
