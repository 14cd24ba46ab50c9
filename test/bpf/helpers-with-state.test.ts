import { describe, expect, it, test } from "vitest";
import { ENGINES } from "../../src/bpf/engine.ts";
import { Kernel } from "../../src/bpf/kernel.ts";
import type { MapDef, ProgramType } from "../../src/bpf/program.ts";
import { assembled } from "./assembled.ts";

const SOCKMAP: MapDef = {
  name: "socks",
  type: "sockmap",
  keyBytes: 4,
  valueBytes: 8,
  maxEntries: 4,
  flags: 0,
};
const SOCKHASH: MapDef = { ...SOCKMAP, name: "sockets", type: "sockhash", keyBytes: 8 };

function bytes(text: string): string[] {
  return Array.from(new TextEncoder().encode(text), (byte, i) => `*(u8 *)(r10 - ${64 - i}) = ${byte}`);
}

describe.each(ENGINES)("on the %s", (engine) => {
  function run(text: string, type: ProgramType, maps: readonly MapDef[] = [], kernel = new Kernel()) {
    const packet = kernel.createPacketBuffer(type);
    const loaded = kernel.load({ ...assembled(text, { type }), maps }, { engine, verify: false });
    packet.reset(new Uint8Array(64));
    const r0 = loaded.run(packet.ctxAddress);
    expect(loaded.fault).toBeNull();
    return { r0, rt: kernel.rt };
  }

  describe("sk_redirect_map", () => {
    const text = (index: number, flags: number) =>
      `r2 = map[0] ll\nr3 = ${index}\nr4 = ${flags}\ncall bpf_sk_redirect_map#52\nexit`;

    test.each<[name: string, index: number, flags: number, r0: number, target: number]>([
      ["to a socket passes", 2, 0, 1, 42],
      ["to a socket's ingress passes", 2, 1, 1, 42],
      ["to an empty slot drops", 1, 0, 0, 0],
      ["past the end drops", 4, 0, 0, 0],
      ["with unknown flags drops", 2, 2, 0, 0],
    ])("%s", (_name, index, flags, r0, target) => {
      const kernel = new Kernel();
      kernel.createMap(SOCKMAP).set(new Uint8Array([2, 0, 0, 0]), new Uint8Array([42, 0, 0, 0, 0, 0, 0, 0]));
      const result = run(text(index, flags), "sk_skb", [SOCKMAP], kernel);
      expect([result.r0, result.rt.redirectTarget]).toEqual([r0, target]);
      if (target) expect(result.rt).toMatchObject({ redirectFlags: flags, redirectMap: { def: SOCKMAP } });
    });

    it("is forgotten when the next run starts", () => {
      const kernel = new Kernel();
      kernel.createMap(SOCKMAP).set(new Uint8Array([2, 0, 0, 0]), new Uint8Array([42, 0, 0, 0, 0, 0, 0, 0]));
      run(text(2, 0), "sk_skb", [SOCKMAP], kernel);
      expect(run("r0 = 1\nexit", "sk_skb", [], kernel).rt).toMatchObject({
        redirectTarget: 0,
        redirectMap: null,
      });
    });
  });

  test.each([
    ["finds the socket of a key", 7, 1, 42],
    ["drops for a key without one", 8, 0, 0],
  ])("sk_redirect_hash %s", (_name, key, r0, target) => {
    const kernel = new Kernel();
    kernel
      .createMap(SOCKHASH)
      .set(new Uint8Array([7, 0, 0, 0, 0, 0, 0, 0]), new Uint8Array([42, 0, 0, 0, 0, 0, 0, 0]));
    const text = `*(u64 *)(r10 - 8) = ${key}\nr2 = map[0] ll\nr3 = r10\nr3 += -8\nr4 = 0\ncall bpf_sk_redirect_hash#72\nexit`;
    const result = run(text, "sk_skb", [SOCKHASH], kernel);
    expect([result.r0, result.rt.redirectTarget]).toEqual([r0, target]);
  });

  test.each<[format: string, args: [string, string, string], printed: string | null, r0?: number]>([
    ["plain", ["0", "0", "0"], "plain"],
    ["%d %u %x\n", ["-5", "-5", "255"], "-5 4294967291 ff", 17],
    ["%lld %llu %llx", ["-5", "-5", "-1"], "-5 18446744073709551611 ffffffffffffffff"],
    ["%ld%%", ["7", "0", "0"], "7%"],
    ["%i:%X", ["3", "0xabc", "0"], "3:ABC"],
    ["[%5d][%-5d][%05d]", ["42", "42", "-42"], "[   42][42   ][-0042]"],
    ["%c%c", ["104", "105", "0"], "hi"],
    ["%px", ["4096", "0", "0"], "0000000000001000"],
    ["%s is here", ["r10", "0", "0"], "%s is here is here"],
    ["%d %d %d %d", ["1", "2", "3"], null, -22],
    ["%f", ["1", "0", "0"], null, -22],
    ["%", ["1", "0", "0"], null, -22],
    ["bell \u0007", ["0", "0", "0"], null, -22],
  ])("trace_printk %j of %j", (format, args, printed, r0) => {
    const lines: string[] = [];
    const kernel = new Kernel({ onTrace: (line) => lines.push(line) });
    const size = new TextEncoder().encode(format).length + 1;
    const registers = args.map((value, i) =>
      value === "r10" ? `r${i + 3} = r10\nr${i + 3} += -64` : `r${i + 3} = ${value}`,
    );
    const text = [
      ...bytes(`${format}\0`),
      ...registers,
      "r1 = r10",
      "r1 += -64",
      `r2 = ${size}`,
      "call bpf_trace_printk#6",
      "exit",
    ];
    const result = run(text.join("\n"), "xdp", [], kernel);
    expect(lines).toEqual(printed === null ? [] : [printed]);
    expect(result.r0).toBe(r0 ?? printed?.length);
  });

  it("trace_printk refuses a format without its NUL", () => {
    const text = [
      ...bytes("abcd"),
      "r1 = r10",
      "r1 += -64",
      "r2 = 4",
      "call bpf_trace_printk#6",
      "exit",
    ].join("\n");
    expect(run(text, "xdp").r0).toBe(-22);
  });

  test.each([
    ["get_prandom_u32#7", 0xdead_beef | 0],
    ["get_smp_processor_id#8", 2],
    ["ktime_get_ns#5", 123_456],
  ])("%s asks the kernel's own source", (helper, r0) => {
    const kernel = new Kernel({ cpus: 4, random: () => 0xdead_beef, clockNs: () => 123_456n });
    kernel.rt.cpu = 2;
    expect(run(`call bpf_${helper}\nexit`, "xdp", [], kernel).r0).toBe(r0);
  });

  it("a spin lock is held in the value and released", () => {
    const def: MapDef = {
      name: "m",
      type: "array",
      keyBytes: 4,
      valueBytes: 8,
      maxEntries: 1,
      flags: 0,
      spinLockOffset: 4,
    };
    const text =
      "*(u32 *)(r10 - 4) = 0\nr1 = map[0] ll\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem#1\nif r0 == 0 goto out\nr6 = r0\nr1 = r6\nr1 += 4\ncall bpf_spin_lock#93\nr7 = *(u32 *)(r6 + 4)\nr1 = r6\nr1 += 4\ncall bpf_spin_unlock#94\nr0 = *(u32 *)(r6 + 4)\nr0 <<= 4\nr0 |= r7\nout: exit";
    expect(run(text, "xdp", [def]).r0).toBe(1);
  });
});
