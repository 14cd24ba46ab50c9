import { describe, expect, it, test } from "vitest";
import { assemble } from "../../../src/bpf/assembler.ts";
import { Kernel, type LoadOptions } from "../../../src/bpf/kernel.ts";
import type { MapDef, Program } from "../../../src/bpf/program.ts";

/** Unchecked is what a verified program gets; here nobody verified, so the programs have to be right. */
const ENGINES: readonly (readonly [name: string, options: LoadOptions])[] = [
  ["jit, unchecked", { engine: "jit", verify: false, checked: false }],
  ["jit, checked", { engine: "jit", verify: false }],
  ["interpreter", { engine: "interpreter", verify: false }],
];

function programOf(text: string): Program {
  const assembled = assemble(text, { type: "xdp" });
  if (!assembled.ok) throw new Error(`line ${assembled.errors[0].line}: ${assembled.errors[0].message}`);
  return assembled.program;
}

/** Loads programs that share their maps by name, as those of one object do. */
function load(kernel: Kernel, options: LoadOptions, ...texts: string[]) {
  const shared = new Map<string, MapDef>();
  return texts.map((text) => {
    const program = programOf(text);
    const maps = program.maps.map((def) => {
      const known = shared.get(def.name) ?? def;
      shared.set(def.name, known);
      return known;
    });
    return kernel.load({ ...program, maps }, options);
  });
}

function u32(value: number): Uint8Array {
  return new Uint8Array(new Uint32Array([value]).buffer);
}

function mapOf(kernel: Kernel, name: string) {
  const map = [...kernel.maps].find((m) => m.def.name === name);
  if (!map) throw new Error(`no map ${name}`);
  return map;
}

function outcome(text: string, options: LoadOptions, packet = new Uint8Array(64)) {
  const kernel = new Kernel({ clockNs: () => 5_000_000_000n, random: () => 7, cpus: 2 });
  const buffer = kernel.createPacketBuffer("xdp");
  const [loaded] = load(kernel, options, text);
  buffer.reset(packet);
  return { r0: loaded!.run(buffer.ctxAddress), loaded: loaded!, kernel, buffer };
}

const COUNTER = `
  .map slots array key=4 value=12 entries=4
  r6 = *(u32 *)(r1 + 0)
  r2 = *(u8 *)(r6 + 0)
  *(u32 *)(r10 - 4) = r2
  r2 = r10
  r2 += -4
  r1 = slots ll
  call bpf_map_lookup_elem
  if r0 == 0 goto none
  lock *(u64 *)(r0 + 0) += r7
  r1 = *(u32 *)(r0 + 8)
  r1 += 1
  *(u32 *)(r0 + 8) = r1
  r0 = r1
  exit
none: r0 = 100
  exit`;

describe.each(ENGINES)("%s", (_name, options) => {
  it("gives each run of a function 8,388,608 rounds of may_goto", () => {
    const text = `call f
r6 = r0
call g
r0 += r6
exit
f: r0 = 0
l: may_goto e
r0 += 1
goto l
e: exit
g: r0 = 0
m: may_goto n
r0 += 1
if r0 < 10 goto m
n: exit`;
    expect(outcome(text, options).r0).toBe(8_388_608 + 10);
  });

  it("finds array elements in bounds, and none out of bounds", () => {
    const { r0, loaded, kernel, buffer } = outcome(COUNTER, options, new Uint8Array([3]));
    expect(r0).toBe(1);
    expect(loaded.run(buffer.ctxAddress)).toBe(2);
    expect(mapOf(kernel, "slots").get(u32(3))?.at(8)).toBe(2);
    for (const index of [4, 255]) {
      buffer.reset(new Uint8Array([index]));
      expect(loaded.run(buffer.ctxAddress)).toBe(100);
    }
  });

  it("gives each CPU its element of a per-CPU array", () => {
    const { r0, loaded, kernel, buffer } = outcome(COUNTER.replace("array", "percpu_array"), options);
    expect(r0).toBe(1);
    kernel.rt.cpu = 1;
    expect(loaded.run(buffer.ctxAddress)).toBe(1);
    expect(loaded.run(buffer.ctxAddress)).toBe(2);
    const values = mapOf(kernel, "slots").get(u32(0))!;
    expect([values[8], values[16 + 8]]).toEqual([1, 2]);
  });

  it("looks up the map that a register holds on every path", () => {
    const text = (packet: number) =>
      outcome(
        `.map a array key=4 value=8 entries=1
         .map b array key=4 value=8 entries=1
         r6 = *(u32 *)(r1 + 0)
         r6 = *(u8 *)(r6 + 0)
         *(u32 *)(r10 - 4) = 0
         r1 = a ll
         if r6 == 0 goto look
         r1 = b ll
   look: r2 = r10
         r2 += -4
         call bpf_map_lookup_elem
         if r0 == 0 goto out
         *(u64 *)(r0 + 0) = 9
    out: exit`,
        options,
        new Uint8Array([packet]),
      );
    const first = text(0).kernel;
    const second = text(1).kernel;
    expect([mapOf(first, "a").get(u32(0))?.[0], mapOf(first, "b").get(u32(0))?.[0]]).toEqual([9, 0]);
    expect([mapOf(second, "a").get(u32(0))?.[0], mapOf(second, "b").get(u32(0))?.[0]]).toEqual([0, 9]);
  });

  it("updates, finds and deletes in a hash map", () => {
    const { r0, kernel } = outcome(
      `.map h hash key=8 value=8 entries=4
       r6 = h ll
       *(u64 *)(r10 - 8) = 77
       *(u64 *)(r10 - 16) = 5
       r1 = r6
       r2 = r10
       r2 += -8
       r3 = r10
       r3 += -16
       r4 = 0
       call bpf_map_update_elem
       r7 = r0
       r1 = r6
       r2 = r10
       r2 += -8
       call bpf_map_lookup_elem
       if r0 == 0 goto bad
       r8 = *(u64 *)(r0 + 0)
       *(u64 *)(r10 - 8) = 78
       r1 = r6
       r2 = r10
       r2 += -8
       call bpf_map_delete_elem
       r0 += r8
       exit
  bad: r0 = 1000
       exit`,
      options,
    );
    expect(r0).toBe(5 - 2); // -ENOENT for 78
    expect(mapOf(kernel, "h").size).toBe(1);
  });

  it("passes a whole u64 of flags, also one with the top bit set", () => {
    const { r0 } = outcome(
      `.map slots array key=4 value=8 entries=4
       *(u32 *)(r10 - 4) = 0
       *(u64 *)(r10 - 16) = 5
       r1 = slots ll
       r2 = r10
       r2 += -4
       r3 = r10
       r3 += -16
       r4 = -1
       call bpf_map_update_elem
       exit`,
      options,
    );
    expect(r0).toBe(-22);
  });

  it("reads the clock as a whole u64", () => {
    const { r0 } = outcome("call bpf_ktime_get_ns\nr0 >>= 32\nexit", options);
    expect(r0).toBe(1); // 5 s is 0x1_2a05_f200
  });

  it("tail-calls through a program array, and falls through an empty slot", () => {
    const kernel = new Kernel();
    const buffer = kernel.createPacketBuffer("xdp");
    const jump = `
      .map next prog_array key=4 value=4 entries=3
      r6 = *(u32 *)(r1 + 0)
      r3 = *(u8 *)(r6 + 0)
      r2 = next ll
      call bpf_tail_call
      r0 = 50
      exit`;
    const [entry, target] = load(kernel, options, jump, "r0 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r0 + 1)\nexit");
    expect(mapOf(kernel, "next").set(u32(1), u32(target!.id))).toBe(0);
    const run = (...bytes: number[]) => {
      buffer.reset(new Uint8Array(bytes));
      return entry!.run(buffer.ctxAddress);
    };
    expect(run(1, 42)).toBe(42);
    expect(entry!.stats.instructions).toBe(4 + 3);
    expect([run(0), run(2), run(3), run(255)]).toEqual([50, 50, 50, 50]);
    expect(mapOf(kernel, "next").remove(u32(1))).toBe(0);
    expect(run(1, 42)).toBe(50);
    expect(entry!.fault).toBeNull();
  });

  it("takes 33 tail calls and not one more, each run anew", () => {
    const kernel = new Kernel();
    const buffer = kernel.createPacketBuffer("xdp");
    const [loaded] = load(
      kernel,
      options,
      `.map next prog_array key=4 value=4 entries=1
       .map runs array key=4 value=8 entries=1
       r6 = r1
       *(u32 *)(r10 - 4) = 0
       r1 = runs ll
       r2 = r10
       r2 += -4
       call bpf_map_lookup_elem
       if r0 == 0 goto out
       r7 = *(u64 *)(r0 + 0)
       r7 += 1
       *(u64 *)(r0 + 0) = r7
       r1 = r6
       r2 = next ll
       r3 = 0
       call bpf_tail_call
       r0 = r7
  out: exit`,
    );
    mapOf(kernel, "next").set(u32(0), u32(loaded!.id));
    buffer.reset(new Uint8Array(64));
    expect(loaded!.run(buffer.ctxAddress)).toBe(34);
    expect(loaded!.run(buffer.ctxAddress)).toBe(68);
    expect(loaded!.fault).toBeNull();
  });

  it("returns to the caller of a subprogram that tail-called", () => {
    const kernel = new Kernel();
    const buffer = kernel.createPacketBuffer("xdp");
    const [loaded, target] = load(
      kernel,
      options,
      `.map next prog_array key=4 value=4 entries=1
       r6 = 3
       *(u64 *)(r10 - 8) = 4
       call sub
       r0 += r6
       r1 = *(u64 *)(r10 - 8)
       r0 += r1
       exit
  sub: r2 = next ll
       r3 = 0
       call bpf_tail_call
       r0 = 1000
       exit`,
      "*(u64 *)(r10 - 8) = 900\nr6 = 99\nr0 = 20\nexit",
    );
    mapOf(kernel, "next").set(u32(0), u32(target!.id));
    buffer.reset(new Uint8Array(64));
    expect(loaded!.run(buffer.ctxAddress)).toBe(27);
  });

  test.each([
    { count: 5, stop: 100, flags: 0, r0: 5, sum: 10 },
    { count: 100, stop: 3, flags: 0, r0: 4, sum: 6 },
    { count: 0, stop: 3, flags: 0, r0: 0, sum: 0 },
    { count: 5, stop: 100, flags: 1, r0: -22, sum: 0 },
    { count: (1 << 23) + 1, stop: 100, flags: 0, r0: -7, sum: 0 },
  ])("bpf_loop of $count that stops at $stop makes $r0 turns", ({ count, stop, flags, r0, sum }) => {
    const program = (result: string) => `
      *(u64 *)(r10 - 8) = 0
      r1 = ${count}
      r2 = body ll
      r3 = r10
      r3 += -8
      r4 = ${flags}
      call bpf_loop
      r1 = *(u64 *)(r10 - 8)
      r0 = ${result}
      exit
body: r3 = *(u64 *)(r2 + 0)
      r3 += r1
      *(u64 *)(r2 + 0) = r3
      r0 = 0
      if r1 != ${stop} goto on
      r0 = 1
  on: exit`;
    expect(outcome(program("r0"), options).r0).toBe(r0);
    expect(outcome(program("r1"), options).r0).toBe(sum);
  });

  it("runs loops with two entries", () => {
    // r6 chooses whether to enter at a or in the middle, at b: no dominator tree nests that.
    const text = `
      r6 = *(u32 *)(r1 + 0)
      r7 = *(u8 *)(r6 + 0)
      r0 = 0
      r8 = 10
      if r7 == 0 goto b
   a: r0 += 1
   b: r0 += 100
      r8 -= 1
      if r8 != 0 goto a
      exit`;
    expect(outcome(text, options, new Uint8Array([0])).r0).toBe(1009);
    expect(outcome(text, options, new Uint8Array([1])).r0).toBe(1010);
  });

  it("returns 0 from the function whose packet load is out of bounds, and from no other", () => {
    const { r0, loaded } = outcome(
      "r6 = r1\ncall f\nr0 += 7\nexit\nf: r6 = r1\nr0 = *(u32 *)skb[9000]\nr0 = 1\nexit",
      options,
    );
    expect(r0).toBe(7);
    expect(loaded.stats.instructions).toBe(6);
  });

  it("counts every instruction of a run, subprograms and loops included", () => {
    const { loaded, buffer } = outcome(
      "r6 = 3\nagain: call f\nr6 -= 1\nif r6 != 0 goto again\nr0 = 2\nexit\nf: r0 = 1\nexit",
      options,
    );
    expect(loaded.stats.instructions).toBe(1 + 3 * (3 + 2) + 2);
    loaded.run(buffer.ctxAddress);
    expect(loaded.stats.instructions).toBe(2 * 18);
  });

  it("ends a recursion that leaves the stack", () => {
    const { loaded } = outcome("call f\nexit\nf: call f\nexit", options);
    expect(loaded.fault).toMatchObject({ kind: "frames", insn: 2 });
  });

  it("ends at an access outside the linear memory", () => {
    const { r0, loaded } = outcome("r1 = 0xfffffff0 ll\nr0 = *(u64 *)(r1 + 0)\nexit", options);
    expect(r0).toBe(0);
    expect(loaded.fault).not.toBeNull();
  });
});

describe.each(ENGINES.slice(1))("unverified, %s", (_name, options) => {
  test.each([
    ["a load beyond the packet", "r2 = *(u32 *)(r1 + 4)\nr0 = *(u8 *)(r2 + 0)\nexit", "memory", 1],
    ["a store below the packet", "r2 = *(u32 *)(r1 + 0)\n*(u8 *)(r2 - 1) = 0\nexit", "memory", 1],
    ["a pointer with upper bits", "r2 = 1\nr2 <<= 32\nr2 += r10\nr0 = *(u8 *)(r2 - 1)\nexit", "memory", 3],
    ["a pointer below zero", "r2 = 0\nr0 = *(u8 *)(r2 - 1)\nexit", "memory", 1],
    ["the frame of a caller's callee", "r2 = r10\nr2 += -520\nr0 = *(u64 *)(r2 + 0)\nexit", "memory", 2],
    ["one byte past the frame", "r2 = r10\nr0 = *(u16 *)(r2 - 1)\nexit", "memory", 1],
    ["an endless loop", "here: goto here", "budget", 0],
    [
      "a key outside the stack",
      ".map m array key=4 value=8 entries=1\nr1 = m ll\nr2 = 0\ncall bpf_map_lookup_elem\nexit",
      "memory",
      3,
    ],
    [
      "a look-up in what is no map",
      "r2 = r10\nr2 += -4\nr1 = 77\ncall bpf_map_lookup_elem\nexit",
      "helper",
      3,
    ],
    ["a tail call through what is no map", "r2 = 77\nr3 = 0\ncall bpf_tail_call\nexit", "helper", 2],
    [
      "a tail call through an array of values",
      ".map m array key=4 value=8 entries=1\nr2 = m ll\nr3 = 0\ncall bpf_tail_call\nexit",
      "helper",
      3,
    ],
    ["a callback that is no function", "r1 = 1\nr2 = 1\nr3 = 0\nr4 = 0\ncall bpf_loop\nexit", "call", 4],
    ["an unknown helper by register", "r5 = 9999\ncallx r5\nexit", "call", 1],
  ])("ends at %s", (_what, text, kind, insn) => {
    expect(outcome(text, options).loaded.fault).toMatchObject({ kind, insn });
  });
});
