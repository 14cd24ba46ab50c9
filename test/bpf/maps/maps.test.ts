import { describe, expect, it, test } from "vitest";
import { makeMap } from "../../../src/bpf/maps/create.ts";
import { mapProblem } from "../../../src/bpf/maps/define.ts";
import type { BpfMap } from "../../../src/bpf/maps/map.ts";
import { LINUX_MAP_TYPES, type MapDef, type MapTypeName } from "../../../src/bpf/program.ts";
import { Runtime } from "../../../src/bpf/runtime.ts";
import { linuxOracle, whySkipped } from "../../oracle/linux-oracle.ts";
import { DEFINITION_CASES, MAP_CASES, type MapCase, type Step } from "./map-cases.ts";

const oracle = linuxOracle();
const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"));
const hex = (value: Uint8Array | null) => (value ? Buffer.from(value).toString("hex") : null);

function defOf({ type, key, value, entries, flags }: Omit<MapCase, "steps">): MapDef {
  return { name: "m", type, keyBytes: key, valueBytes: value, maxEntries: entries, flags: flags ?? 0 };
}

function typeId(type: MapTypeName): number {
  return LINUX_MAP_TYPES.find((row) => row.name === type)!.id;
}

function result(step: Step): string {
  if (step[0] !== "get") return `${step[0]} ${step.at(-1)}`;
  return `get ${step[2]} ${step[3] ?? "-"}`;
}

function apply(map: BpfMap, step: Step): string {
  switch (step[0]) {
    case "set":
      return `set ${map.set(bytes(step[1]), bytes(step[2]), BigInt(step[3]))}`;
    case "del":
      return `del ${map.remove(bytes(step[1]))}`;
    default: {
      const value = map.get(bytes(step[1]));
      return `get ${value ? 0 : -2} ${hex(value) ?? "-"}`;
    }
  }
}

function question(step: Step): string {
  return step[0] === "set" ? `set 0 ${step[1]} ${step[2]} ${step[3]}` : `${step[0]} 0 ${step[1]}`;
}

describe("maps answer userspace", () => {
  test.each(MAP_CASES)("$name", (row) => {
    const map = makeMap(new Runtime(), defOf(row), 1);
    expect(row.steps.map((step) => apply(map, step))).toEqual(row.steps.map(result));
  });
});

describe("map definitions", () => {
  test.each(DEFINITION_CASES)("$name: $result", (row) => {
    expect(-(mapProblem(defOf(row))?.errno ?? 0) + 0).toBe(row.result);
  });
});

describe.skipIf(typeof oracle === "string")(`maps on Linux${whySkipped(oracle)}`, () => {
  const asked = [
    ...MAP_CASES.map((row) => [create(row), ...row.steps.map(question)]),
    ...DEFINITION_CASES.map((row) => [create(row)]),
  ];
  const answers = typeof oracle === "string" ? [] : oracle.ask(asked);

  function create({ type, key, value, entries, flags }: Omit<MapCase, "steps">): string {
    return `map ${typeId(type)} ${key} ${value} ${entries} ${flags ?? 0}`;
  }

  test.each(MAP_CASES.map((row, i) => ({ ...row, i })))("$name", ({ steps, i }) => {
    expect(answers[i]).toEqual(["map 0", ...steps.map(result)]);
  });

  test.each(DEFINITION_CASES.map((row, i) => ({ ...row, i: i + MAP_CASES.length })))("$name", (row) => {
    expect(answers[row.i]).toEqual([`map ${row.result}`]);
  });
});

function key(index: number): Uint8Array {
  return bytes(index.toString(16).padStart(8, "0"));
}

function mapOf(rt: Runtime, type: MapTypeName, entries: number, extra: Partial<MapDef> = {}): BpfMap {
  return makeMap(
    rt,
    { name: "m", type, keyBytes: 4, valueBytes: 8, maxEntries: entries, flags: 0, ...extra },
    1,
  );
}

/** A key and a value in linear memory, as a program's helper call names them. */
function staged(rt: Runtime, data: Uint8Array): number {
  const at = rt.memory.alloc(data.length, 8, "test data");
  rt.memory.bytes.set(data, at);
  return at;
}

describe("lru_hash", () => {
  it("evicts the element used longest ago", () => {
    const rt = new Runtime();
    const map = mapOf(rt, "lru_hash", 3);
    for (const i of [1, 2, 3]) map.set(key(i), bytes("00000000000000aa"));
    map.lookup(staged(rt, key(1)));
    expect(map.set(key(4), bytes("00000000000000bb"))).toBe(0);
    expect([1, 2, 3, 4].filter((i) => map.get(key(i)))).toEqual([1, 3, 4]);
    // Userspace's own look-ups do not count as use.
    map.get(key(3));
    map.set(key(5), bytes("00000000000000cc"));
    expect([1, 3, 4, 5].filter((i) => map.get(key(i)))).toEqual([1, 4, 5]);
    expect(map.size).toBe(3);
  });

  it("keeps exactly the last entries of a long stream", () => {
    const map = mapOf(new Runtime(), "lru_hash", 100);
    for (let i = 0; i < 10_000; i++)
      expect(map.set(key(i), key(i).length ? bytes("0102030405060708") : key(0))).toBe(0);
    const kept = [...map.entries()].map(([k]) => Buffer.from(k).readUInt32BE());
    expect(kept.sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => 9_900 + i));
  });
});

describe("hash elements during a run", () => {
  const OLD = bytes("1111111111111111");
  const NEW = bytes("2222222222222222");

  it("a pointer keeps reading the old value after an update, as in Linux", () => {
    const rt = new Runtime();
    const map = mapOf(rt, "hash", 4);
    map.set(key(1), OLD);
    const keyPtr = staged(rt, key(1));
    rt.begin("xdp");
    const old = map.lookup(keyPtr);
    expect(map.update(keyPtr, staged(rt, NEW), 0n)).toBe(0);
    expect(hex(rt.memory.bytes.slice(old, old + 8))).toBe("1111111111111111");
    expect(map.lookup(keyPtr)).not.toBe(old);
    rt.end();
    expect(hex(map.get(key(1)))).toBe("2222222222222222");
  });

  it("a freed element is not reused before the run is over", () => {
    const rt = new Runtime();
    const map = mapOf(rt, "hash", 1);
    map.set(key(1), OLD);
    const [first, second, value] = [staged(rt, key(1)), staged(rt, key(2)), staged(rt, NEW)];
    rt.begin("xdp");
    const freed = map.lookup(first);
    expect(map.delete(first)).toBe(0);
    expect(map.update(second, value, 0n)).toBe(0);
    expect(map.lookup(second)).not.toBe(freed);
    rt.end();
    // Now it is: a thousand more runs need no more memory.
    for (let i = 0; i < 1_000; i++) {
      rt.begin("xdp");
      expect(map.delete(second)).toBe(0);
      expect(map.update(second, value, 0n)).toBe(0);
      rt.end();
    }
    expect(map.size).toBe(1);
  });

  it("one run may replace a value more often than there are spare elements", () => {
    const rt = new Runtime();
    const map = mapOf(rt, "hash", 2);
    const [keyPtr, value] = [staged(rt, key(1)), staged(rt, NEW)];
    for (let round = 0; round < 3; round++) {
      rt.begin("xdp");
      for (let i = 0; i < 500; i++) expect(map.update(keyPtr, value, 0n)).toBe(0);
      rt.end();
    }
    expect([...map.entries()].map(([k, v]) => [hex(k), hex(v)])).toEqual([["00000001", hex(NEW)]]);
  });
});

describe("per-CPU maps", () => {
  test.each(["percpu_array", "percpu_hash"] as const)("%s: each CPU has its value, userspace all", (type) => {
    const rt = new Runtime({ cpus: 3 });
    const map = mapOf(rt, type, 4, { valueBytes: 5 });
    const keyPtr = staged(rt, bytes("01000000"));
    for (const cpu of [0, 2]) {
      rt.cpu = cpu;
      rt.begin("xdp");
      expect(map.update(keyPtr, staged(rt, new Uint8Array(5).fill(cpu + 1)), 0n)).toBe(0);
      rt.end();
    }
    const expected = "0101010101000000" + "0000000000000000" + "0303030303000000";
    expect(hex(map.get(bytes("01000000")))).toBe(expected);
    rt.cpu = 1;
    const at = map.lookup(keyPtr);
    expect(rt.memory.bytes[at]).toBe(0);
    expect(map.set(bytes("01000000"), bytes(expected))).toBe(0);
    expect(map.set(bytes("01000000"), bytes("0101010101"))).toBe(-22);
  });
});

describe("values with a bpf_spin_lock", () => {
  test.each(["array", "hash"] as const)("%s: updates leave the lock alone, reads hide it", (type) => {
    const rt = new Runtime();
    const map = mapOf(rt, type, 2, { spinLockOffset: 4 });
    const keyPtr = staged(rt, bytes("01000000"));
    expect(map.set(bytes("01000000"), bytes("11111111ffffffff"))).toBe(0);
    expect(hex(map.get(bytes("01000000")))).toBe("1111111100000000");
    const at = map.lookup(keyPtr);
    rt.memory.view.setUint32(at + 4, 1, true);
    expect(map.update(keyPtr, staged(rt, bytes("2222222200000000")), 4n)).toBe(0);
    expect(rt.memory.view.getUint32(map.lookup(keyPtr) + 4, true)).toBe(1);
    expect(hex(map.get(bytes("01000000")))).toBe("2222222200000000");
  });
});

describe("socket maps", () => {
  it("sockmap keeps handles by index", () => {
    const map = mapOf(new Runtime(), "sockmap", 2, { valueBytes: 8 });
    expect(map.set(bytes("01000000"), bytes("2a00000000000000"))).toBe(0);
    expect(map.set(bytes("02000000"), bytes("2a00000000000000"))).toBe(-7);
    expect(map.set(bytes("00000000"), bytes("0000000000000000"))).toBe(-22);
    expect(map.set(bytes("01000000"), bytes("2b00000000000000"), 1n)).toBe(-17);
    expect(map.set(bytes("00000000"), bytes("2b00000000000000"), 2n)).toBe(-2);
    expect(hex(map.get(bytes("01000000")))).toBe("2a00000000000000");
    expect(map.size).toBe(1);
    expect(map.remove(bytes("01000000"))).toBe(0);
    expect(map.remove(bytes("01000000"))).toBe(-22);
    expect([...map.entries()]).toEqual([]);
  });

  it("sockhash keeps handles by key", () => {
    const map = mapOf(new Runtime(), "sockhash", 1, { keyBytes: 6, valueBytes: 4 });
    const [a, b] = [bytes("010203040506"), bytes("010203040507")];
    expect(map.set(a, bytes("07000000"))).toBe(0);
    expect(map.set(b, bytes("07000000"))).toBe(-7);
    expect(map.set(a, bytes("08000000"), 1n)).toBe(-17);
    expect(map.set(a, bytes("08000000"))).toBe(0);
    expect([...map.entries()].map(([k, v]) => [hex(k), hex(v)])).toEqual([["010203040506", "08000000"]]);
    expect(map.remove(b)).toBe(-2);
    expect(map.remove(a)).toBe(0);
    expect(map.get(a)).toBeNull();
  });

  test.each(["sockmap", "sockhash"] as const)("programs cannot touch a %s but by redirecting", (type) => {
    const rt = new Runtime();
    const map = mapOf(rt, type, 2);
    const at = staged(rt, bytes("0000000000000000"));
    expect([map.lookup(at), map.update(at, at, 0n), map.delete(at)]).toEqual([0, -95, -95]);
  });
});

it("a hash map agrees with a plain Map over a random history", () => {
  const map = mapOf(new Runtime({ random: () => 42 }), "hash", 64);
  const model = new Map<string, string>();
  let state = 1;
  const random = (n: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  for (let step = 0; step < 20_000; step++) {
    const k = key(random(100));
    if (random(3) === 0) {
      expect(map.remove(k)).toBe(model.delete(hex(k)!) ? 0 : -2);
    } else {
      const value = new Uint8Array(8).fill(random(256));
      const fits = model.has(hex(k)!) || model.size < 64;
      expect(map.set(k, value)).toBe(fits ? 0 : -7);
      if (fits) model.set(hex(k)!, hex(value)!);
    }
    expect(map.size).toBe(model.size);
  }
  expect(new Map([...map.entries()].map(([k, v]) => [hex(k), hex(v)]))).toEqual(model);
});
