import { describe, expect, it, test } from "vitest";
import { ENGINES, type EngineName } from "../../src/bpf/engine.ts";
import { FAULT_VERDICT, Kernel } from "../../src/bpf/kernel.ts";
import { LoadError } from "../../src/bpf/load-error.ts";
import type { MapDef, Program, ProgramType } from "../../src/bpf/program.ts";
import { assembled } from "./assembled.ts";

const ARRAY: MapDef = { name: "a", type: "array", keyBytes: 4, valueBytes: 8, maxEntries: 2, flags: 0 };

function withMaps(text: string, maps: readonly MapDef[], type: ProgramType = "xdp"): Program {
  return { ...assembled(text, { type }), maps };
}

function refusal(load: () => unknown): LoadError {
  try {
    load();
  } catch (error) {
    if (error instanceof LoadError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

describe.each(ENGINES)("a program on the %s", (engine) => {
  it("runs over a packet and counts", () => {
    const kernel = new Kernel();
    const packet = kernel.createPacketBuffer("xdp");
    const text =
      "r2 = *(u32 *)(r1 + 0)\nr3 = *(u32 *)(r1 + 4)\nr2 += 4\nr0 = 0\nif r2 > r3 goto +1\nr0 = *(u8 *)(r2 - 1)\nexit";
    const loaded = kernel.load(assembled(text), { engine });
    packet.reset(new Uint8Array([1, 2, 3, 42]));
    expect([loaded.run(packet.ctxAddress), loaded.run(packet.ctxAddress)]).toEqual([42, 42]);
    expect(loaded).toMatchObject({ fault: null, engine, verified: true });
    expect(loaded.stats).toEqual({ runs: 2, instructions: 14 });
  });

  it("returns r0 as a signed 32-bit number", () => {
    const kernel = new Kernel();
    const packet = kernel.createPacketBuffer("tc");
    packet.reset(new Uint8Array(20));
    expect(kernel.load(assembled("r0 = -1\nexit", { type: "tc" }), { engine }).run(packet.ctxAddress)).toBe(
      -1,
    );
  });

  test.each(Object.entries(FAULT_VERDICT) as [ProgramType, number][])(
    "of type %s that faults answers %i, keeps its fault and does not run again",
    (type, verdict) => {
      const kernel = new Kernel();
      const packet = kernel.createPacketBuffer(type);
      const program = assembled("r2 = 0\nr0 = *(u64 *)(r2 + 0)\nexit", { type });
      const loaded = kernel.load(program, { engine, verify: false });
      packet.reset(new Uint8Array(20));
      expect([loaded.run(packet.ctxAddress), loaded.run(packet.ctxAddress)]).toEqual([verdict, verdict]);
      expect(loaded.fault).toMatchObject({
        kind: "memory",
        message: expect.stringContaining("8-byte read at 0x0"),
      });
      expect(loaded.stats.runs).toBe(1);
    },
  );

  it("that faults under a spin lock leaves the lock free", () => {
    const kernel = new Kernel();
    const def: MapDef = { ...ARRAY, spinLockOffset: 0 };
    const lookup =
      "*(u32 *)(r10 - 4) = 0\nr1 = map[0] ll\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem#1\nif r0 == 0 goto out\nr6 = r0\nr1 = r0\ncall bpf_spin_lock#93\n";
    const packet = kernel.createPacketBuffer("xdp");
    packet.reset(new Uint8Array(20));
    const bad = kernel.load(withMaps(`${lookup}r2 = 0\nr0 = *(u8 *)(r2 + 0)\nout: exit`, [def]), {
      engine,
      verify: false,
    });
    bad.run(packet.ctxAddress);
    expect(bad.fault?.kind).toBe("memory");
    const good = kernel.load(
      withMaps(`${lookup}r1 = r6\ncall bpf_spin_unlock#94\nr0 = 2\nout: exit`, [def]),
      { engine },
    );
    expect(good.run(packet.ctxAddress)).toBe(2);
    expect(good.fault).toBeNull();
  });

  it("that takes a lock twice faults instead of waiting for ever", () => {
    const kernel = new Kernel();
    const text =
      "*(u32 *)(r10 - 4) = 0\nr1 = map[0] ll\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem#1\nif r0 == 0 goto out\nr6 = r0\nr1 = r6\ncall bpf_spin_lock#93\nr1 = r6\ncall bpf_spin_lock#93\nout: exit";
    const packet = kernel.createPacketBuffer("xdp");
    packet.reset(new Uint8Array(20));
    const loaded = kernel.load(withMaps(text, [{ ...ARRAY, spinLockOffset: 0 }]), { engine, verify: false });
    loaded.run(packet.ctxAddress);
    expect(loaded.fault?.message).toContain("already holds a lock");
  });

  it("may not write a read-only map, by store or by helper", () => {
    const kernel = new Kernel();
    const def: MapDef = {
      ...ARRAY,
      name: ".rodata",
      readOnlyForPrograms: true,
      initialValue: new Uint8Array(8).fill(9),
    };
    const packet = kernel.createPacketBuffer("xdp");
    packet.reset(new Uint8Array(20));
    const store = kernel.load(withMaps("r1 = map_value[0] + 0 ll\n*(u8 *)(r1 + 0) = 1\nexit", [def]), {
      engine,
      verify: false,
    });
    store.run(packet.ctxAddress);
    expect(store.fault?.kind).toBe("memory");
    const text =
      "*(u32 *)(r10 - 4) = 0\n*(u64 *)(r10 - 16) = 0\nr1 = map[0] ll\nr2 = r10\nr2 += -4\nr3 = r10\nr3 += -16\nr4 = 0\ncall bpf_map_update_elem#2\nexit";
    const update = kernel.load(withMaps(text, [def]), { engine, verify: false });
    expect(update.run(packet.ctxAddress)).toBe(-1);
    expect(kernel.createMap(def).get(new Uint8Array(4))).toEqual(new Uint8Array(8).fill(9));
  });

  it("without end is ended by the budget when it was not verified", { timeout: 60_000 }, () => {
    const kernel = new Kernel();
    const packet = kernel.createPacketBuffer("xdp");
    packet.reset(new Uint8Array(20));
    const loaded = kernel.load(assembled("again: goto again\nexit"), { engine, verify: false });
    loaded.run(packet.ctxAddress);
    expect(loaded.fault).toMatchObject({
      kind: "budget",
      message: expect.stringContaining("without an end"),
    });
  });
});

describe("Kernel.load refuses", () => {
  const wide = "r0 = 0x1122334455667788 ll";

  test.each<[name: string, text: string, message: RegExp]>([
    ["a jump past the end", "goto +5\nexit", /insn 0: jump out of range from insn 0 to 6/],
    ["a jump before the start", "r0 = 0\ngoto -3\nexit", /jump out of range from insn 1 to -1/],
    [
      "a jump into a wide load",
      `if r1 == 0 goto +1\n${wide}\nexit`,
      /jump into the middle of ldimm64 insn 1 from insn 0/,
    ],
    ["a fall off the end", "r0 = 0", /last insn is not an exit or jmp/],
    ["a branch at the end", "r0 = 0\nexit\nif r0 == 0 goto -2", /last insn is not an exit or jmp/],
    [
      "a fall into the next function",
      "call f\nr0 = 0\nf: r0 = 1\nexit",
      /falls through into the function at 2/,
    ],
    ["a jump into another function", "call f\ngoto inside\nf: r0 = 1\ninside: exit", /jump out of range/],
    ["a call past the end", "call pc+9\nexit", /call out of range: slot 10/],
    ["a call into a wide load", `call pc+1\n${wide}\nexit`, /call out of range/],
    ["a callback past the end", "r2 = func pc+40 ll\nexit", /call out of range/],
    ["an unknown helper", "call 9999\nexit", /invalid func unknown#9999/],
    ["an unknown kernel function", "call kfunc#7\nexit", /kernel function btf_id 7 is not known/],
    ["a map it does not have", "r1 = map[3] ll\nexit", /map 3 does not exist/],
    ["a write to r10", "r10 = 0\nexit", /frame pointer is read only/],
  ])("%s, verified or not", (_name, text, message) => {
    const error = refusal(() => new Kernel().load(assembled(text), { verify: false }));
    expect(error.code).toBe("BAD_BYTECODE");
    expect(error.message).toMatch(message);
    expect(refusal(() => new Kernel().load(assembled(text))).code).toBe("BAD_BYTECODE");
  });

  test.each<[name: string, text: string, message: RegExp]>([
    ["a load below the stack", "r0 = *(u64 *)(r10 - 520)\nexit", /invalid stack access off=-520 size=8/],
    ["a store above the stack", "*(u32 *)(r10 - 2) = 1\nexit", /invalid stack access off=-2 size=4/],
    ["an atomic above the stack", "lock *(u64 *)(r10 + 0) += r1\nexit", /invalid stack access off=0 size=8/],
  ])("%s: unverified at once, else by the verifier", (_name, text, message) => {
    const error = refusal(() => new Kernel().load(assembled(text), { verify: false }));
    expect(error).toMatchObject({ code: "BAD_BYTECODE", message: expect.stringMatching(message) });
    expect(refusal(() => new Kernel().load(assembled(text))).code).toBe("REJECTED");
  });

  it("a stack access no path reaches, unless verified", () => {
    const text = "r0 = 0\nif r0 == 0 goto out\n*(u64 *)(r10 - 520) = 0\nout: exit";
    expect(refusal(() => new Kernel().load(assembled(text), { verify: false })).code).toBe("BAD_BYTECODE");
    expect(new Kernel().load(assembled(text)).verified).toBe(true);
  });

  it("bytes that do not decode", () => {
    const program = { ...assembled("exit"), bytecode: new Uint8Array([0xff, 0, 0, 0, 0, 0, 0, 0]) };
    expect(refusal(() => new Kernel().load(program))).toMatchObject({
      code: "BAD_BYTECODE",
      message: "program 'main': insn 0: unknown opcode ff",
    });
  });

  it("what the verifier rejects, with its log, and never compiles it", () => {
    const error = refusal(() => new Kernel().load(assembled("r0 = *(u64 *)(r3 + 0)\nexit")));
    expect(error.code).toBe("REJECTED");
    expect(error.log).toContain("R3 !read_ok");
  });

  it("a map Linux would not create", () => {
    const error = refusal(() => new Kernel().createMap({ ...ARRAY, keyBytes: 8 }));
    expect(error).toMatchObject({
      code: "BAD_MAP",
      message: "map 'a' (array): key_size is 8; an index is 4 bytes",
    });
  });

  test.each<[name: string, def: MapDef]>([
    ["5 GB of array", { ...ARRAY, valueBytes: 1300, maxEntries: 4_000_000 }],
    ["5 GB of hash", { ...ARRAY, type: "hash", valueBytes: 1300, maxEntries: 4_000_000 }],
    ["a socket map of 2^32 - 1", { ...ARRAY, type: "sockmap", maxEntries: 0xffff_ffff }],
    ["a program array of 2^32 - 1", { ...ARRAY, type: "prog_array", valueBytes: 4, maxEntries: 0xffff_ffff }],
  ])("%s, saying what to lower", (_name, def) => {
    const error = refusal(() => new Kernel().createMap(def));
    expect(error.code).toBe("OUT_OF_MEMORY");
    expect(error.message).toMatch(/map 'a'.*Lower max_entries/);
  });

  it("more than the limit it was given, and goes on", () => {
    const kernel = new Kernel({ limitBytes: 1 << 20 });
    expect(refusal(() => kernel.createMap({ ...ARRAY, maxEntries: 1_000_000 })).code).toBe("OUT_OF_MEMORY");
    expect(kernel.createMap(ARRAY).size).toBe(2);
  });
});

describe("BMC's own table of 3.25 million entries", () => {
  it("is allocated, and an element of it used", () => {
    const kernel = new Kernel();
    const map = kernel.createMap({ ...ARRAY, valueBytes: 1_016, maxEntries: 3_250_000 });
    const key = new Uint8Array(4);
    new DataView(key.buffer).setUint32(0, 3_249_999, true);
    expect(map.set(key, new Uint8Array(1_016).fill(7))).toBe(0);
    expect(map.get(key)?.at(-1)).toBe(7);
    expect(map.memoryBytes).toBe(3_250_000 * 1_016);
  });
});

describe("maps of a kernel", () => {
  it("one definition is one map, whoever loads it", () => {
    const kernel = new Kernel();
    const first = kernel.createMap(ARRAY);
    kernel.load(withMaps("r0 = 2\nexit", [ARRAY]));
    expect(kernel.createMap(ARRAY)).toBe(first);
    expect(kernel.createMap({ ...ARRAY })).not.toBe(first);
    expect([...kernel.maps]).toHaveLength(2);
  });

  it("programs keep their values when a later map makes the memory grow", () => {
    const kernel = new Kernel();
    const map = kernel.createMap(ARRAY);
    const packet = kernel.createPacketBuffer("xdp");
    const text =
      "*(u32 *)(r10 - 4) = 0\nr1 = map[0] ll\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem#1\nif r0 == 0 goto out\nr1 = *(u64 *)(r0 + 0)\nr1 += 1\n*(u64 *)(r0 + 0) = r1\nr0 = r1\nout: exit";
    const loaded = kernel.load(withMaps(text, [ARRAY]));
    packet.reset(new Uint8Array(20));
    expect(loaded.run(packet.ctxAddress)).toBe(1);
    kernel.createMap({ ...ARRAY, maxEntries: 10_000_000 });
    packet.reset(new Uint8Array(20));
    expect(loaded.run(packet.ctxAddress)).toBe(2);
    expect(map.get(new Uint8Array(4))?.[0]).toBe(2);
  });
});

describe("program arrays", () => {
  const JUMPS: MapDef = {
    name: "jumps",
    type: "prog_array",
    keyBytes: 4,
    valueBytes: 4,
    maxEntries: 4,
    flags: 0,
  };
  const u32 = (value: number) => new Uint8Array(new Uint32Array([value]).buffer);

  function load(kernel: Kernel, type: ProgramType, engine: EngineName) {
    return kernel.load(assembled("r0 = 0\nexit", { type }), { engine });
  }

  it("hold programs of one type and one engine, as Linux demands", () => {
    const kernel = new Kernel();
    const map = kernel.createMap(JUMPS);
    const xdp = load(kernel, "xdp", "jit");
    expect(map.set(u32(0), u32(xdp.id))).toBe(0);
    expect(map.set(u32(1), u32(load(kernel, "tc", "jit").id))).toBe(-22);
    expect(map.set(u32(1), u32(load(kernel, "xdp", "interpreter").id))).toBe(-22);
    expect(map.set(u32(4), u32(xdp.id))).toBe(-7);
    expect(map.set(u32(1), u32(999))).toBe(-9);
    expect(map.size).toBe(1);
    expect(map.get(u32(0))).toEqual(u32(xdp.id));
    expect([map.remove(u32(1)), map.remove(u32(0)), map.remove(u32(9))]).toEqual([-2, 0, -7]);
  });

  it("start with what the object says, whichever program is asked for", () => {
    const kernel = new Kernel();
    const jumps: MapDef = { ...JUMPS, initialPrograms: [null, "target"] };
    const entry = withMaps("r2 = map[0] ll\nr3 = 1\ncall bpf_tail_call#12\nr0 = 1\nexit", [jumps]);
    const object = {
      programs: [
        { ...entry, name: "entry" },
        { ...assembled("r0 = 2\nexit"), name: "target" },
      ],
      maps: [jumps],
      license: "GPL",
    };
    const loaded = kernel.loadObject(object, ["entry"]);
    expect([...loaded.keys()]).toEqual(["entry", "target"]);
    const packet = kernel.createPacketBuffer("xdp");
    packet.reset(new Uint8Array(20));
    expect(loaded.get("entry")?.run(packet.ctxAddress)).toBe(2);
  });
});

describe("PacketBuffer", () => {
  const kernel = new Kernel();
  const packet = kernel.createPacketBuffer("sk_skb", { roomBytes: 2_000 });
  const source = Uint8Array.from({ length: 4_000 }, (_, i) => i & 0xff);

  test.each([
    [0, 0],
    [0, 1],
    [3, 40],
    [5, 41],
    [7, 1_993],
    [0, 2_000],
  ])("takes %i + %i bytes of a source", (offset, length) => {
    packet.reset(source, offset, length);
    expect(packet.length).toBe(length);
    expect(Uint8Array.from(packet.bytes())).toEqual(source.slice(offset, offset + length));
    const { view } = kernel.rt.memory;
    expect(view.getUint32(packet.ctxAddress, true)).toBe(length);
    expect(view.getUint32(packet.ctxAddress + 76, true)).toBe(packet.data);
    expect(view.getUint32(packet.ctxAddress + 80, true)).toBe(packet.dataEnd);
  });

  it("refuses more than fits", () => {
    expect(() => packet.reset(source, 0, 2_001)).toThrow(
      "a packet of 2001 bytes does not fit the buffer's 2000",
    );
  });

  it("forgets what a program wrote into the context", () => {
    kernel.rt.memory.bytes.fill(0xff, packet.ctxAddress, packet.ctxAddress + packet.ctxBytes);
    packet.reset(source, 0, 10);
    const context = kernel.rt.memory.bytes.slice(packet.ctxAddress, packet.ctxAddress + packet.ctxBytes);
    expect(context.subarray(48, 68)).toEqual(new Uint8Array(20));
  });
});
