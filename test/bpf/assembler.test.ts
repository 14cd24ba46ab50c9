import { describe, expect, it, test } from "vitest";
import { assemble } from "../../src/bpf/assembler.ts";
import { decode } from "../../src/bpf/codec.ts";
import { disassemble, formatInstruction } from "../../src/bpf/disassembler.ts";
import type { Program } from "../../src/bpf/program.ts";

function program(text: string): Program {
  const result = assemble(text);
  if (!result.ok) throw new Error(result.errors.map((e) => `${e.line}:${e.column}: ${e.message}`).join("\n"));
  return result.program;
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

/** What the plain dialect makes of the text. */
function plain(text: string): string[] {
  const decoded = decode(program(text).bytecode);
  if (!decoded.ok) throw new Error(decoded.error.message);
  return disassemble(decoded.slots).map((line) => line.text);
}

/** Every spelling, the bytes it stands for (RFC 9669 tables by hand), and how we print it. */
const SPELLINGS: [text: string, bytes: string, printed?: string][] = [
  ["r0 = 5", "b700000005000000"],
  ["w0 = -1", "b4000000ffffffff"],
  ["r1 = 0xffffffff", "b7010000ffffffff", "r1 = -1"],
  ["w1 = 4294967295", "b4010000ffffffff", "w1 = -1"],
  ["r1 = r2", "bf21000000000000"],
  ["w1 = w2", "bc21000000000000"],
  ["r1 = (s8)r2", "bf21080000000000"],
  ["r1 = (s32) r2", "bf21200000000000", "r1 = (s32)r2"],
  ["w1 = (s16)w2", "bc21100000000000"],
  ["r1 += r2", "0f21000000000000"],
  ["r1 += -4", "07010000fcffffff"],
  ["r1 -= 0x10", "1701000010000000", "r1 -= 16"],
  ["r1 s/= r2", "3f21010000000000"],
  ["w1 s%= 5", "9401010005000000"],
  ["r1 /= 3", "3701000003000000"],
  ["r3 %= r4", "9f43000000000000"],
  ["r1 |= 1", "4701000001000000"],
  ["w1 &= w3", "5c31000000000000"],
  ["r1 ^= r1", "af11000000000000"],
  ["r1 <<= 32", "6701000020000000"],
  ["w1 >>= 3", "7401000003000000"],
  ["r1 s>>= r2", "cf21000000000000"],
  ["r0 = -r0", "8700000000000000"],
  ["w7 = -w7", "8407000000000000"],
  ["r1 = bswap16 r1", "d701000010000000"],
  ["r1 = le16 r1", "d401000010000000"],
  ["r1 = be64 r1", "dc01000040000000"],
  ["r0 = *(u32 *)(r1 + 4)", "6110040000000000"],
  ["r0 = *(u32*)(r1 +4)", "6110040000000000", "r0 = *(u32 *)(r1 + 4)"],
  ["w0 = *(u8 *)(r1 - 0x4)", "7110fcff00000000", "r0 = *(u8 *)(r1 - 4)"],
  ["r0 = *(u64 *)(r1)", "7910000000000000", "r0 = *(u64 *)(r1 + 0)"],
  ["r1 = *(s8 *)(r2 + 0)", "9121000000000000"],
  ["r1 = *(s32 *)(r2 +0)", "8121000000000000", "r1 = *(s32 *)(r2 + 0)"],
  ["*(u8 *)(r10 - 1) = r2", "732affff00000000"],
  ["*(u32 *)(r10 -4) = w2", "632afcff00000000", "*(u32 *)(r10 - 4) = r2"],
  ["*(u64 *)(r10 - 8) = -7", "7a0af8fff9ffffff"],
  ["lock *(u64 *)(r10 - 8) += r1", "db1af8ff00000000"],
  ["lock *(u32 *)(r10 - 8) ^= w1", "c31af8ffa0000000", "lock *(u32 *)(r10 - 8) ^= r1"],
  ["r1 = atomic_fetch_add((u64 *)(r10 - 8), r1)", "db1af8ff01000000"],
  ["w1 = atomic_fetch_or((u32 *)(r10 - 8), w1)", "c31af8ff41000000"],
  [
    "r1 = atomic64_fetch_and((u64 *)(r10 -8), r1)",
    "db1af8ff51000000",
    "r1 = atomic_fetch_and((u64 *)(r10 - 8), r1)",
  ],
  [
    "r1 = atomic_fetch_xor((u32 *)(r10 -8), r1)",
    "c31af8ffa1000000",
    "w1 = atomic_fetch_xor((u32 *)(r10 - 8), w1)",
  ],
  ["r0 = cmpxchg_64(r10 - 8, r0, r1)", "db1af8fff1000000"],
  ["w0 = cmpxchg32_32(r10 - 8, w0, w1)", "c31af8fff1000000"],
  ["r0 = atomic64_cmpxchg((u64 *)(r10 -8), r0, r1)", "db1af8fff1000000", "r0 = cmpxchg_64(r10 - 8, r0, r1)"],
  ["r1 = xchg_64(r10 - 8, r1)", "db1af8ffe1000000"],
  ["r1 = atomic_xchg((u32 *)(r10 -8), r1)", "c31af8ffe1000000", "w1 = xchg32_32(r10 - 8, w1)"],
  ["goto +5", "0500050000000000"],
  ["goto pc-1", "0500ffff00000000", "goto -1"],
  ["may_goto pc+2", "e500020000000000", "may_goto +2"],
  ["gotol +70000", "0600000070110100"],
  ["if w2 s> 7 goto +3", "6602030007000000"],
  ["if r1 == r2 goto -2", "1d21feff00000000"],
  ["if r1 == 0xffffffff goto pc+1", "15010100ffffffff", "if r1 == -1 goto +1"],
  ["if r1 & 0x7 goto +1 <LBB0_2>", "4501010007000000", "if r1 & 7 goto +1"],
  ["if w1 != w2 goto +1", "5e21010000000000"],
  ["if r3 s<= -1 goto +0", "d5030000ffffffff"],
  ["call bpf_map_lookup_elem#1", "8500000001000000"],
  ["call bpf_map_lookup_elem", "8500000001000000", "call bpf_map_lookup_elem#1"],
  ["call map_lookup_elem", "8500000001000000", "call bpf_map_lookup_elem#1"],
  ["call 12", "850000000c000000", "call bpf_tail_call#12"],
  ["call unknown#4000", "85000000a00f0000"],
  ["call kfunc#77", "852000004d000000"],
  ["call bpf_iter_num_new", "8520000081841e00", "call bpf_iter_num_new#2000001"],
  ["call bpf_iter_num_new#2000001", "8520000081841e00"],
  ["call bpf_iter_num_new#64260", "8520000081841e00", "call bpf_iter_num_new#2000001"],
  ["call pc+3", "8510000003000000"],
  ["call pc-3", "85100000fdffffff"],
  ["callx r3", "8d03000000000000"],
  ["exit", "9500000000000000"],
  ["r0 = *(u16 *)skb[12]", "280000000c000000"],
  ["r0 = *(u8 *)skb[r2 + 4]", "5020000004000000"],
  ["r0 = *(u32 *)skb[r2]", "4020000000000000"],
  ["r0 = *(u32 *)skb[-4096]", "2000000000f0ffff"],
  ["r0 = 0x1234 ll", "18000000341200000000000000000000"],
  ["r0 = -2 ll", "18000000feffffff00000000ffffffff", "r0 = 0xfffffffffffffffe ll"],
  ["r9 = 78187493520 ll", "18090000907856340000000012000000", "r9 = 0x1234567890 ll"],
  ["r1 = map[3] ll", "18110000030000000000000000000000"],
  ["r1 = map[id:3]", "18110000030000000000000000000000", "r1 = map[3] ll"],
  ["r1 = map[3][0]+4 ll", "18210000030000000000000004000000"],
  ["r1 = map_value[3] + 4 ll", "18210000030000000000000004000000", "r1 = map[3][0]+4 ll"],
  ["r2 = var_addr(5) ll", "18320000050000000000000000000000"],
  ["r2 = func pc+9 ll", "18420000090000000000000000000000"],
  ["r2 = map_by_idx(1) ll", "18520000010000000000000000000000"],
  ["r2 = map_by_idx(1)[0]+8 ll", "18620000010000000000000008000000"],
  ["r1 = map[3] next 9 ll", "18110000030000000000000009000000"],
];

describe("assemble: one instruction", () => {
  test.each(SPELLINGS)("reads `%s`", (text, bytes, printed) => {
    expect(hex(program(text).bytecode)).toBe(bytes);
    expect(plain(text)).toEqual([printed ?? text]);
  });

  it("prints the kernel's spelling where asked", () => {
    const kernel = (text: string) => {
      const decoded = decode(program(text).bytecode);
      const insn = decoded.ok ? decoded.slots[0] : null;
      return insn ? formatInstruction(insn, { dialect: "kernel" }) : "";
    };
    expect(kernel("r0 = *(u32 *)(r1 + 4)")).toBe("r0 = *(u32 *)(r1 +4)");
    expect(kernel("*(u8 *)(r10 - 1) = r2")).toBe("*(u8 *)(r10 -1) = r2");
    expect(kernel("if r1 s> -1 goto +3")).toBe("if r1 s> 0xffffffff goto pc+3");
    expect(kernel("r2 += -4")).toBe("r2 += -4");
    expect(kernel("r1 = atomic_fetch_add((u64 *)(r10 - 8), r1)")).toBe(
      "r1 = atomic64_fetch_add((u64 *)(r10 -8), r1)",
    );
    expect(kernel("call 1")).toBe("call bpf_map_lookup_elem#1");
    expect(kernel("r0 = 7 ll")).toBe("r0 = 0x7");
  });
});

describe("assemble: a text", () => {
  it("resolves labels both ways and counts a wide load as two slots", () => {
    const text = `
      again:
        r1 = 1 ll      ; two slots
        if r1 == 0 goto done   // forward
        goto again     # back
      done: exit /* on the label's own
                    line, closed below */ `;
    expect(plain(text)).toEqual(["r1 = 0x1 ll", "if r1 == 0 goto +1", "goto -4", "exit"]);
  });

  it("makes a subprogram of each called or loaded label", () => {
    const { subprograms, bytecode } = program(`
      .global helper ctx u32 ptr:16
      call helper
      r2 = func step ll
      exit
    helper:
      r0 = 0
      exit
    step:
      r0 = 1
      exit`);
    expect(subprograms).toEqual([
      {
        name: "helper",
        start: 4,
        isGlobal: true,
        args: [
          { kind: "ctx" },
          { kind: "scalar", bytes: 4 },
          { kind: "pointer", pointeeBytes: 16, typeName: "void" },
        ],
      },
      { name: "step", start: 6, isGlobal: false },
    ]);
    expect(hex(bytecode).slice(0, 48)).toBe("8510000003000000" + "18420000040000000000000000000000");
  });

  it("reads maps, type, license and name", () => {
    const result = program(`
      .type "sk_skb/stream_verdict"
      .program verdict
      .license "Dual BSD/GPL"
      .map flows hash key=8 value=24 entries=1024 flags=1 lock=4
      .map table array value=4 entries=2
      .map jumps prog_array entries=3
      .map .rodata array data="01 02 0304" readonly
      r1 = map[table] ll
      r2 = map[.rodata][0]+2 ll
      r3 = flows ll
      exit`);
    expect(result).toMatchObject({
      type: "sk_skb",
      attach: "stream_verdict",
      name: "verdict",
      license: "Dual BSD/GPL",
      section: "sk_skb/stream_verdict",
    });
    expect(result.maps).toEqual([
      {
        name: "flows",
        type: "hash",
        keyBytes: 8,
        valueBytes: 24,
        maxEntries: 1024,
        flags: 1,
        spinLockOffset: 4,
      },
      { name: "table", type: "array", keyBytes: 4, valueBytes: 4, maxEntries: 2, flags: 0 },
      { name: "jumps", type: "prog_array", keyBytes: 4, valueBytes: 4, maxEntries: 3, flags: 0 },
      {
        name: ".rodata",
        type: "array",
        keyBytes: 4,
        valueBytes: 4,
        maxEntries: 1,
        flags: 0,
        initialValue: Uint8Array.of(1, 2, 3, 4),
        readOnlyForPrograms: true,
      },
    ]);
    expect(plain(".map a array value=4 entries=2\n r1 = map[a] ll\n exit")[0]).toBe("r1 = map[0] ll");
  });

  it("reads a pasted llvm-objdump listing", () => {
    const listing = `
0000000000000000 <f>:
; int f(void) { return "; /* not a comment";
       0:	18 01 00 00 90 78 56 34 00 00 00 00 12 00 00 00	r1 = 78187493520 ll
       2:	15 00 01 00 00 00 00 00	if r0 == 0 goto +1 <LBB0_2>
       3:	b7 00 00 00 ff ff ff ff	r0 = -1

0000000000000020 <LBB0_2>:
       4:	95 00 00 00 00 00 00 00	exit`;
    expect(plain(listing)).toEqual(["r1 = 0x1234567890 ll", "if r0 == 0 goto +1", "r0 = -1", "exit"]);
  });

  it("reads a pasted verifier log, telling (18) from (b7)", () => {
    const log = `
0: (b7) r1 = 5
1: (18) r2 = 0x5                      ; R2_w=5
3: (63) *(u32 *)(r10 -4) = r1         ; R1=5 R10=fp0
4: (85) call bpf_ktime_get_ns#5       ; R0_w=scalar()
5: (55) if r0 != 0x0 goto pc-2
6: (95) exit`;
    expect(plain(log)).toEqual([
      "r1 = 5",
      "r2 = 0x5 ll",
      "*(u32 *)(r10 - 4) = r1",
      "call bpf_ktime_get_ns#5",
      "if r0 != 0 goto -2",
      "exit",
    ]);
  });

  it("says which line each slot came from", () => {
    const result = assemble("r0 = 0 ll\n\nexit");
    expect(result.ok && result.lineOfSlot).toEqual([1, 1, 3]);
  });
});

describe("assemble: errors", () => {
  const firstError = (text: string) => {
    const result = assemble(text);
    if (result.ok) throw new Error("was assembled");
    const { line, column, message } = result.errors[0];
    return `${line}:${column}: ${message}`;
  };

  test.each([
    ["", "1:1: expected at least one instruction, found end of text"],
    ["r0 = 1\n  r11 = 2", "2:3: expected a register (r0..r10 or w0..w10), found 'r11'"],
    ["r0 + 1", "1:4: expected an assignment: += -= *= /= s/= |= &= <<= >>= %= s%= ^= = s>>=, found '+'"],
    ["r0 =", "1:5: expected a register or a number, found end of line"],
    ["r0 = w1", "1:6: expected a register r0..r10, found 'w1'"],
    ["w0 = -w1", "1:7: expected 'w0', found 'w1'"],
    ["r0 = be16 r1", "1:11: expected 'r0', found 'r1'"],
    [
      "r0 = 4294967296",
      "1:6: expected a 32-bit number (-2147483648..2147483647; write 'll' behind a 64-bit constant), found '4294967296'",
    ],
    ["r0 = 0x10000000000000000 ll", "1:6: expected a 64-bit number, found '0x10000000000000000'"],
    ["w0 = 5 ll", "1:1: expected a register r0..r10 (wide loads fill 64 bits), found 'w0'"],
    ["r0 = *(u32 *)(r1 + 40000)", "1:20: expected a 16-bit offset (-32768..32767), found '40000'"],
    ["r0 = *(u24 *)(r1 + 4)", "1:8: expected a size: u8, u16, u32, u64, s8, s16 or s32, found 'u24'"],
    ["r0 = *(s64 *)(r1 + 4)", "1:8: expected u64 (there is no sign to extend), found 's64'"],
    ["*(s8 *)(r1 + 4) = r0", "1:3: expected an unsigned size (stores have no sign), found 's8'"],
    ["r0 = *(u32 *)(r1 + 4", "1:21: expected ')', found end of line"],
    ["r1 = *(u16 *)skb[12]", "1:1: expected r0 (packet loads have no other result), found 'r1'"],
    ["lock *(u16 *)(r1 + 4) += r0", "1:8: expected u32 or u64 (atomics have no other size), found 'u16'"],
    ["lock *(u64 *)(r1 + 4) -= r0", "1:23: expected an atomic operation: += |= &= ^=, found '-='"],
    [
      "r2 = atomic_fetch_add((u64 *)(r10 - 8), r1)",
      "1:41: expected 'r2' (a fetch returns into its operand), found 'r1'",
    ],
    ["r1 = cmpxchg_64(r10 - 8, r1, r1)", "1:26: expected r0 (what cmpxchg compares with), found 'r1'"],
    ["if r1 => 3 goto +1", "1:7: expected a comparison: == > >= & != s> s>= < <= s< s<=, found '='"],
    ["if r1 == 3 goto", "1:16: expected a jump target: '+N', '-N', 'pc+N' or a label, found end of line"],
    ["if r1 == 3 goto there", "1:17: expected a label of this text, '+N' or '-N', found 'there'"],
    ["goto +40000", "1:7: expected a 16-bit jump offset (-32768..32767), found '40000'"],
    [
      "call nothing",
      "1:6: expected the name of a helper or kernel function, or a label of this text, found 'nothing'",
    ],
    ["call bpf_tail_call#1", "1:6: expected 'bpf_tail_call#12', found 'bpf_tail_call#1'"],
    ["exit now", "1:6: expected end of line, found 'now'"],
    ["a: exit\na: exit", "2:1: expected a label that is not taken, found 'a'"],
    ["r1 = map[x] ll\nexit", "1:10: expected a map of this text (.map NAME TYPE …), found 'x'"],
    [
      ".map m array value=1 entries=1\nr1 = map[1] ll",
      "2:1: expected a map's name, or an index below 1, found map[1]",
    ],
    [
      ".map m arena",
      "1:8: expected a map type: hash, array, prog_array, percpu_hash, percpu_array, lru_hash, sockmap, sockhash, perf_event_array, stack_trace, cgroup_array, lru_percpu_hash, lpm_trie, array_of_maps, hash_of_maps, devmap, cpumap, xskmap, queue, stack, devmap_hash, ringbuf, bloom_filter, found 'arena'",
    ],
    [".map m hash key=4 value=8", "1:26: expected entries=N, found end of line"],
    [
      ".map m array_of_maps entries=4",
      "1:31: expected inner=NAME, a map declared above that those inside are like, found end of line",
    ],
    [
      ".map m array_of_maps entries=4 inner=m",
      "1:38: expected a map declared above that holds no maps, or (TYPE key=N …), found 'm'",
    ],
    [
      ".map m array_of_maps entries=4 inner=(hash_of_maps key=4 entries=4)",
      "1:38: expected a map declared above that holds no maps, or (TYPE key=N …), found '('",
    ],
    [
      ".map m array_of_maps entries=4 inner=(hash key=4 value=8 entries=4",
      "1:67: expected ')', found end of line",
    ],
    [
      ".map m hash key=4 inner=m",
      "1:19: expected key=N, value=N, entries=N, flags=N, lock=N, kernel=NAME(N N), data=\"HEX\" or readonly, found 'inner'",
    ],
    [
      ".type kprobe",
      "1:7: expected a program type (xdp, tc, sk_skb, socket_filter) or a section name in quotes, found 'kprobe'",
    ],
    [".sect x", "1:1: expected a directive: .type .program .license .map .global .absent, found '.sect'"],
    [".global f\nexit", "1:9: expected a label of this text, found 'f'"],
    ["r0 = 0\n\tr0 = é", "2:7: expected an instruction, a label or a directive, found 'é'"],
    [
      `r0 = ${"9".repeat(100_000)}`,
      `1:6: expected an instruction, a label or a directive, found '${"9".repeat(40)}'`,
    ],
    ["/* open\nexit", "1:1: expected an instruction, a label or a directive, found '/*'"],
    [
      "mov r0, 1",
      "1:1: expected an instruction: a register, '*(', 'if', 'goto', 'gotol', 'may_goto', 'call', 'callx', 'lock' or 'exit', found 'mov'",
    ],
  ])("of %j", (text, message) => {
    expect(firstError(text)).toBe(message);
  });

  it("reports one a line, in order", () => {
    const result = assemble("r0 = \nr1 = 1\ngoto x\nfoo\nexit");
    expect(!result.ok && result.errors.map((e) => e.line)).toEqual([1, 3, 4]);
  });
});
