/**
 * What the packet, checksum and map helpers answer, case by case: programs with a packet before and after.
 * The expectations were read off Linux 6.18 (BPF_PROG_TEST_RUN) and are compared with it again wherever
 * bpf() is permitted.
 */
import type { MapDef, ProgramType } from "../../src/bpf/program.ts";

export type HelperCase = {
  readonly name: string;
  readonly type: Extract<ProgramType, "xdp" | "tc" | "socket_filter">;
  readonly text: string;
  /** Hex. */
  readonly packet: string;
  readonly maps?: readonly MapDef[];
};

/** 00 01 02 ... : every byte says where it was. */
export function ramp(bytes: number): string {
  return Array.from({ length: bytes }, (_, i) => (i & 0xff).toString(16).padStart(2, "0")).join("");
}

/** Ethernet + IPv4 + UDP + 8 bytes. The checksums are whatever they are. */
const UDP = `ffffffffffff0200000000010800${"4500002400010000401166cf0a0000010a000002"}${"04d20035001099aa"}${"6162636465666768"}`;

const xdp = (name: string, text: string, packet = ramp(64)): HelperCase => ({
  name,
  type: "xdp",
  text,
  packet,
});
const tc = (name: string, text: string, packet = UDP): HelperCase => ({ name, type: "tc", text, packet });

const HEAD = [-217, -216, -215, -60, -1, 0, 1, 49, 50, 51, 64, 1000, -1000].map((delta) =>
  xdp(`xdp_adjust_head by ${delta}`, `r2 = ${delta}\ncall bpf_xdp_adjust_head#44\nexit`),
);
const TAIL = [-65, -64, -51, -50, -49, -1, 0, 1, 100, 3455, 3456, 3457, 4000, 70000].map((delta) =>
  xdp(`xdp_adjust_tail by ${delta}`, `r2 = ${delta}\ncall bpf_xdp_adjust_tail#65\nexit`),
);
const META = [-300, -260, -256, -255, -254, -253, -252, -248, -220, -216, -212, -8, -7, -4, -2, 0, 4].map(
  (delta) => xdp(`xdp_adjust_meta by ${delta}`, `r2 = ${delta}\ncall bpf_xdp_adjust_meta#54\nexit`),
);
const META_THEN_HEAD = [-216, -212, -208, -200, 4, 40].map((delta) =>
  xdp(
    `xdp_adjust_head by ${delta} with 8 bytes of metadata`,
    `r6 = r1\nr2 = -8\ncall bpf_xdp_adjust_meta#54\nr1 = r6\nr2 = ${delta}\ncall bpf_xdp_adjust_head#44\nexit`,
  ),
);
const XDP_BYTES = [
  [0, 8],
  [56, 8],
  [57, 8],
  [64, 1],
  [65535, 1],
  [65536, 1],
  [-1, 1],
].flatMap(([offset, size]) => [
  xdp(
    `xdp_load_bytes of ${size} at ${offset}`,
    `*(u64 *)(r10 - 8) = 0\nr2 = ${offset}\nr3 = r10\nr3 += -8\nr4 = ${size}\ncall bpf_xdp_load_bytes#189\nif r0 != 0 goto out\nr0 = *(u32 *)(r10 - 8)\nout: exit`,
  ),
  xdp(
    `xdp_store_bytes of ${size} at ${offset}`,
    `*(u64 *)(r10 - 8) = -1\nr2 = ${offset}\nr3 = r10\nr3 += -8\nr4 = ${size}\ncall bpf_xdp_store_bytes#190\nexit`,
  ),
]);
const REDIRECT = [0, 1, 2].map((flags) =>
  xdp(
    `redirect with flags ${flags} at xdp`,
    `r1 = 1\nr2 = ${flags}\ncall bpf_redirect#23\nif r0 == 4 goto out\nexit\nout: r0 = 44\nexit`,
  ),
);

const TC_REDIRECT = [0, 1, 2, 3].map((flags) =>
  tc(`redirect with flags ${flags} at tc`, `r1 = 1\nr2 = ${flags}\ncall bpf_redirect#23\nr0 += 100\nexit`),
);
const CHANGE_TAIL = [
  0, 13, 14, 20, 33, 34, 35, 49, 50, 51, 200, 1500, 1514, 1515, 9000, 16064, 16065, 70000,
].map((length) =>
  tc(`skb_change_tail to ${length}`, `r2 = ${length}\nr3 = 0\ncall bpf_skb_change_tail#38\nexit`),
);
const CHANGE_HEAD = [0, 1, 14, 100, 257, 1000, -1].map((length) =>
  tc(`skb_change_head by ${length}`, `r2 = ${length}\nr3 = 0\ncall bpf_skb_change_head#43\nexit`),
);
const PULL = [0, 1, 50, 51, 60000, -1].map((length) =>
  tc(`skb_pull_data of ${length}`, `r2 = ${length}\ncall bpf_skb_pull_data#39\nexit`),
);
const FLAGS = [
  tc("skb_change_tail with flags", "r2 = 20\nr3 = 1\ncall bpf_skb_change_tail#38\nexit"),
  tc("skb_change_head with flags", "r2 = 20\nr3 = 1\ncall bpf_skb_change_head#43\nexit"),
];
const SKB_BYTES = [
  [0, 8, 0],
  [42, 8, 1],
  [43, 8, 0],
  [50, 1, 0],
  [0, 8, 2],
  [0, 8, 3],
  [0, 8, 4],
  [-1, 1, 0],
  [70000, 1, 0],
].flatMap(([offset, size, flags]) => [
  tc(
    `skb_load_bytes of ${size} at ${offset} (${flags})`,
    `*(u64 *)(r10 - 8) = -1\nr2 = ${offset}\nr3 = r10\nr3 += -8\nr4 = ${size}\ncall bpf_skb_load_bytes#26\nr1 = *(u32 *)(r10 - 8)\nr1 &= 255\nr0 <<= 8\nr0 |= r1\nexit`,
  ),
  tc(
    `skb_store_bytes of ${size} at ${offset} with flags ${flags}`,
    `*(u64 *)(r10 - 8) = -1\nr2 = ${offset}\nr3 = r10\nr3 += -8\nr4 = ${size}\nr5 = ${flags}\ncall bpf_skb_store_bytes#9\nexit`,
  ),
]);

const bytesOnStack = (hex: string, top: number) =>
  (hex.match(/.{8}/g) ?? []).map((word, i) => {
    const value = Buffer.from(word, "hex").readInt32LE(0);
    return `*(u32 *)(r10 - ${top - i * 4}) = ${value}`;
  });
const CSUM_DIFF = [
  ["", "", 0],
  ["", "", 7],
  ["", "", 0x12345],
  ["", "", -1],
  ["", "01020304", 0],
  ["", "ffffffff", 0],
  ["", "ffffffffffffffff", 1],
  ["", "0000ffff", 0],
  ["", "00000000", 0],
  ["", "00000000", 0xffff],
  ["01020304", "", 0],
  ["00000000", "", 0],
  ["ffffffff", "", 0],
  ["01020304", "", 0x12345678],
  ["01020304", "01020304", 0],
  ["01020304", "01020304", 99],
  ["01020304", "05060708", 0],
  ["05060708", "01020304", 0],
  ["0a000001c0a80001", "ac100001", 0x8000],
  ["ffffffff", "00000000", 0],
  ["00000000", "ffffffff", 0xffffffff],
  ["f0f1f2f3f4f5f6f7f8f9fafb", "0102030405060708090a0b0c0d0e0f10", -5],
].map(([from, to, seed]) => {
  const [a, b] = [String(from), String(to)];
  return xdp(
    `csum_diff of ${a || "nothing"} to ${b || "nothing"} seed ${seed}`,
    [
      ...bytesOnStack(a, 32),
      ...bytesOnStack(b, 64),
      a ? "r1 = r10\nr1 += -32" : "r1 = 0",
      `r2 = ${a.length / 2}`,
      b ? "r3 = r10\nr3 += -64" : "r3 = 0",
      `r4 = ${b.length / 2}`,
      `w5 = ${seed}`,
      "call bpf_csum_diff#28",
      "exit",
    ].join("\n"),
  );
});
const CSUM_DIFF_ODD = [1, 2, 3, 5, 6, 7].flatMap((size) => [
  xdp(
    `csum_diff adding ${size} bytes`,
    `*(u32 *)(r10 - 8) = 0x04030201\n*(u32 *)(r10 - 4) = 0x08070605\nr1 = 0\nr2 = 0\nr3 = r10\nr3 += -8\nr4 = ${size}\nr5 = 0\ncall bpf_csum_diff#28\nexit`,
  ),
  xdp(
    `csum_diff removing ${size} bytes`,
    `*(u32 *)(r10 - 8) = 0x04030201\n*(u32 *)(r10 - 4) = 0x08070605\nr1 = r10\nr1 += -8\nr2 = ${size}\nr3 = 0\nr4 = 0\nr5 = 9\ncall bpf_csum_diff#28\nexit`,
  ),
]);

const IP_CHECKSUM = 24;
const UDP_CHECKSUM = 40;
const L3 = [
  [IP_CHECKSUM, 0x0100000a, 0x0500000a, 4],
  [IP_CHECKSUM, 0x2400, 0x2500, 2],
  [IP_CHECKSUM, 0xffff, 0, 2],
  [IP_CHECKSUM, 0, 0xffff, 2],
  [IP_CHECKSUM, 0, 0xffff_ffff, 4],
  [IP_CHECKSUM, 0, 0x1234, 0],
  [IP_CHECKSUM, 0, 0xffffffff, 0],
  [IP_CHECKSUM, 1, 0x1234, 0],
  [IP_CHECKSUM, 1, 2, 1],
  [IP_CHECKSUM, 1, 2, 3],
  [IP_CHECKSUM, 1, 2, 8],
  [IP_CHECKSUM, 1, 2, 16],
  [IP_CHECKSUM + 1, 1, 2, 2],
  [48, 1, 2, 2],
  [49, 1, 2, 2],
  [50, 1, 2, 2],
  [65536, 1, 2, 2],
].map(([offset, from, to, flags]) =>
  tc(
    `l3_csum_replace at ${offset} ${from} -> ${to} flags ${flags}`,
    `r2 = ${offset}\nw3 = ${from}\nw4 = ${to}\nr5 = ${flags}\ncall bpf_l3_csum_replace#10\nexit`,
  ),
);
const NO_CHECKSUM = UDP.replace("99aa", "0000");
const L4 = [
  [UDP, 0x0100000a, 0x0500000a, 4],
  [UDP, 0x0100000a, 0x0500000a, 4 | 16],
  [UDP, 0x3500, 0x3600, 2],
  [UDP, 0x3500, 0x3600, 2 | 32],
  [UDP, 0, 0x1234, 0],
  [UDP, 0, 0x1234, 16],
  [UDP, 1, 0x1234, 0],
  [UDP, 1, 2, 3],
  [UDP, 1, 2, 256],
  [UDP, 1, 2, 2 | 128],
  [NO_CHECKSUM, 0x3500, 0x3600, 2],
  [NO_CHECKSUM, 0x3500, 0x3600, 2 | 32],
  [NO_CHECKSUM, 0x3500, 0x3600, 2 | 32 | 64],
  [UDP, 0, 0xaa99, 2 | 32],
  [UDP, 0, 0xaa99, 2],
  [UDP, 0xaa99, 0xffff, 2 | 32],
].map(([packet, from, to, flags]) =>
  tc(
    `l4_csum_replace of ${packet === UDP ? "a" : "no"} checksum ${from} -> ${to} flags ${flags}`,
    `r2 = ${UDP_CHECKSUM}\nw3 = ${from}\nw4 = ${to}\nr5 = ${flags}\ncall bpf_l4_csum_replace#11\nexit`,
    String(packet),
  ),
);

const LEGACY = [
  "r0 = *(u8 *)skb[0]",
  "r0 = *(u16 *)skb[12]",
  "r0 = *(u32 *)skb[26]",
  "r0 = *(u32 *)skb[46]",
  "r0 = 9\nr0 = *(u32 *)skb[47]\nr0 = 7",
  "r7 = 20\nr0 = *(u16 *)skb[r7 + 3]",
  "r7 = 20\nr0 = *(u8 *)skb[r7 - 20]",
  "r7 = -20\nr0 = 5\nr0 = *(u8 *)skb[r7 + 19]\nr0 = 7",
].map((line) => tc(`legacy load ${line.replaceAll("\n", "; ")}`, `r6 = r1\n${line}\nexit`));

const FIELDS = [0, 4, 8, 12, 16, 32, 36, 40, 44, 48, 68, 72, 84, 164, 176].map((offset) =>
  tc(`__sk_buff at ${offset}`, `r0 = *(u32 *)(r1 + ${offset})\nexit`),
);

const FILTER: readonly HelperCase[] = [
  {
    name: "a socket filter sees the packet from its network header",
    type: "socket_filter",
    text: "r6 = r1\nr0 = *(u8 *)skb[0]\nexit",
    packet: UDP,
  },
  { name: "a socket filter's len", type: "socket_filter", text: "r0 = *(u32 *)(r1 + 0)\nexit", packet: UDP },
];

export const HELPER_CASES: readonly HelperCase[] = [
  ...HEAD,
  ...TAIL,
  ...META,
  ...META_THEN_HEAD,
  ...XDP_BYTES,
  ...REDIRECT,
  ...TC_REDIRECT,
  ...CHANGE_TAIL,
  ...CHANGE_HEAD,
  ...PULL,
  ...FLAGS,
  ...SKB_BYTES,
  ...CSUM_DIFF,
  ...CSUM_DIFF_ODD,
  ...L3,
  ...L4,
  ...LEGACY,
  ...FIELDS,
  ...FILTER,
];
