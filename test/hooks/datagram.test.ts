import { describe, expect, test } from "vitest";
import { assemble } from "../../src/bpf/assembler.ts";
import { Kernel, type LoadedProgram } from "../../src/bpf/kernel.ts";
import { DatagramHook, EGRESS_DROP, INGRESS } from "../../src/hooks/datagram.ts";
import { Framer, ipv4, receiveUdp, TCP_PAYLOAD_AT, UDP_PAYLOAD_AT } from "../../src/hooks/packet-headers.ts";
import { SegmentHook } from "../../src/hooks/segment.ts";

const CLIENT = { address: "127.0.0.7", port: 40_000 };
const LOCAL = { address: "127.0.0.1", port: 11_211 };

const HEAD = `
  r6 = *(u32 *)(r1 + 0)
  r7 = *(u32 *)(r1 + 4)
  r2 = r6
  r2 += 43
  r0 = 2
  if r2 > r7 goto out
`;
/** Swaps IP addresses and ports: the IP checksum stays right. */
const SWAP = `
  r2 = *(u32 *)(r6 + 26)
  r3 = *(u32 *)(r6 + 30)
  *(u32 *)(r6 + 26) = r3
  *(u32 *)(r6 + 30) = r2
  r2 = *(u16 *)(r6 + 34)
  r3 = *(u16 *)(r6 + 36)
  *(u16 *)(r6 + 34) = r3
  *(u16 *)(r6 + 36) = r2
`;

function load(kernel: Kernel, type: "xdp" | "tc", body: string): LoadedProgram {
  const assembled = assemble(`${body}\nout:\n  exit\n`, { type });
  if (!assembled.ok) throw new Error(assembled.errors[0].message);
  return kernel.load(assembled.program);
}

function hookWith(xdp: string | null, tc: string | null = null) {
  const kernel = new Kernel();
  const faults: unknown[] = [];
  const hook = new DatagramHook({
    kernel,
    xdp: xdp === null ? null : load(kernel, "xdp", xdp),
    tc: tc === null ? null : load(kernel, "tc", tc),
    local: LOCAL,
    onFault: (fault) => faults.push(fault),
  });
  return { hook, kernel, faults };
}

describe("datagram hook", () => {
  test("a program sees Ethernet, IPv4 and UDP headers before the payload", () => {
    // Takes the datagram only if every header field is what the wire would carry.
    const { hook } = hookWith(`${HEAD}
      r0 = 2
      r2 = *(u16 *)(r6 + 12)
      if r2 != 0x0008 goto out
      r2 = *(u8 *)(r6 + 23)
      if r2 != 17 goto out
      r2 = *(u32 *)(r6 + 26)
      if r2 != 0x0700007f goto out
      r2 = *(u32 *)(r6 + 30)
      if r2 != 0x0100007f goto out
      r2 = *(u16 *)(r6 + 36)
      r2 = be16 r2
      if r2 != 11211 goto out
      r2 = *(u16 *)(r6 + 38)
      r2 = be16 r2
      if r2 != 13 goto out
      r2 = *(u8 *)(r6 + 42)
      if r2 != 104 goto out
      r0 = 1`);
    expect(hook.ingress(Buffer.from("hello"), CLIENT)).toBe(INGRESS.drop);
    expect(hook.ingress(Buffer.from("jello"), CLIENT)).toBe(INGRESS.pass);
  });

  test("XDP_TX sends back what the program left in the packet", () => {
    const { hook } = hookWith(`${HEAD}${SWAP}
      r2 = 74
      *(u8 *)(r6 + 42) = r2
      r0 = 3`);
    const length = hook.ingress(Buffer.from("hello"), CLIENT);
    expect(hook.reply.toString("latin1", 0, length)).toBe("Jello");
    expect(hook.verdicts[3]).toBe(1);
  });

  test.each([
    ["addresses not swapped", "r0 = 3", "wrong-target"],
    ["ttl changed, checksum not", `${SWAP} r2 = 1\n *(u8 *)(r6 + 22) = r2\n r0 = 3`, "bad-ip-checksum"],
    ["a UDP checksum that is wrong", `${SWAP} r2 = 7\n *(u16 *)(r6 + 40) = r2\n r0 = 3`, "bad-udp-checksum"],
    ["a UDP length beyond the packet", `${SWAP} r2 = 255\n *(u8 *)(r6 + 38) = r2\n r0 = 3`, "bad-length"],
    ["not IPv4 any more", `${SWAP} r2 = 0\n *(u8 *)(r6 + 12) = r2\n r0 = 3`, "not-udp"],
  ] as const)("an answer no client's stack would take is dropped: %s", (_name, body, problem) => {
    const { hook } = hookWith(`${HEAD}${body}`);
    expect(hook.ingress(Buffer.from("hello"), CLIENT)).toBe(INGRESS.drop);
    expect(hook.undeliverable[problem]).toBe(1);
  });

  test.each([
    [0, "aborted"],
    [1, "drop"],
    [4, "redirect"],
    [77, "other"],
  ])("verdict %i is a drop, counted as %s", (action) => {
    const { hook } = hookWith(`r0 = ${action}`);
    expect(hook.ingress(Buffer.from("x"), CLIENT)).toBe(INGRESS.drop);
    expect(hook.verdicts.reduce((a, b) => a + b)).toBe(1);
    expect(hook.verdicts[Math.min(action, 5)]).toBe(1);
  });

  test("datagrams over IPv6 pass unseen", () => {
    const { hook } = hookWith("r0 = 1");
    expect(hook.ingress(Buffer.from("x"), { address: "::1", port: 1 })).toBe(INGRESS.pass);
    expect(hook.verdicts[1]).toBe(0);
  });

  test("a fault detaches the program, tells why, and the server goes on", () => {
    const kernel = new Kernel();
    const assembled = assemble("r1 = 0x7fffffff\nr0 = *(u64 *)(r1 + 0)\nexit", { type: "xdp" });
    if (!assembled.ok) throw new Error(assembled.errors[0].message);
    const xdp = kernel.load(assembled.program, { verify: false });
    const faults: unknown[] = [];
    const onFault = (fault: unknown) => faults.push(fault);
    const hook = new DatagramHook({ kernel, xdp, tc: null, local: LOCAL, onFault });
    expect(hook.ingress(Buffer.from("x"), CLIENT)).toBe(INGRESS.pass);
    expect(hook.ingress(Buffer.from("x"), CLIENT)).toBe(INGRESS.pass);
    expect(faults).toHaveLength(1);
    expect(hook.xdp).toBeNull();
  });

  test("tc egress sees the reply from the server's port and can drop it", () => {
    const { hook } = hookWith(
      null,
      `
      r6 = *(u32 *)(r1 + 76)
      r7 = *(u32 *)(r1 + 80)
      r2 = r6
      r2 += 43
      r0 = 0
      if r2 > r7 goto out
      r2 = *(u16 *)(r6 + 34)
      r2 = be16 r2
      if r2 != 11211 goto out
      r2 = *(u8 *)(r6 + 42)
      if r2 != 120 goto out
      r0 = 2`,
    );
    expect(hook.egress(Buffer.from("y"), 1, CLIENT)).toBe(1);
    expect(hook.egress(Buffer.from("x"), 1, CLIENT)).toBe(EGRESS_DROP);
    expect([hook.egressRuns, hook.egressDrops]).toEqual([2, 1]);
  });
});

describe("segment hook", () => {
  test("a chunk is shown as segments whose sequence numbers count its bytes", () => {
    const kernel = new Kernel();
    const xdp = load(kernel, "xdp", "r0 = 2");
    const hook = new SegmentHook({ kernel, xdp, tc: null, onFault: () => undefined });
    const flow = hook.open({
      remoteAddress: "127.0.0.7",
      remotePort: 40_000,
      localAddress: "::ffff:127.0.0.1",
      localPort: 11_211,
    });
    expect(flow?.ingress(new Uint8Array(4_000))).toBe(true);
    // SYN, then 1448 + 1448 + 1104.
    expect(hook.segments).toBe(4);
    flow?.close();
    expect(hook.segments).toBe(5);
  });

  test("a dropped segment ends the flow", () => {
    const kernel = new Kernel();
    const hook = new SegmentHook({
      kernel,
      xdp: load(
        kernel,
        "xdp",
        `
        r6 = *(u32 *)(r1 + 0)
        r7 = *(u32 *)(r1 + 4)
        r2 = r6
        r2 += 55
        r0 = 2
        if r2 > r7 goto out
        r2 = *(u8 *)(r6 + 54)
        if r2 != 120 goto out
        r0 = 1`,
      ),
      tc: null,
      onFault: () => undefined,
    });
    const flow = hook.open({
      remoteAddress: "127.0.0.7",
      remotePort: 40_000,
      localAddress: "127.0.0.1",
      localPort: 11_211,
    });
    expect(flow?.ingress(Buffer.from("get a\r\n"))).toBe(true);
    expect(flow?.ingress(Buffer.from("x"))).toBe(false);
    expect(hook.drops).toBe(1);
  });
});

describe("packet headers", () => {
  test("a framed datagram is one its receiver's stack takes", () => {
    const framer = new Framer(2_000);
    const client = { ip: ipv4(CLIENT.address), port: CLIENT.port };
    const server = { ip: ipv4(LOCAL.address), port: LOCAL.port };
    for (const size of [1, 2, 127, 128, 129, 1_999]) {
      const payload = new Uint8Array(size).fill(7);
      const length = framer.udp(payload, size, server, client, false);
      const received = receiveUdp(framer.bytes, 0, length, client, { from: 0, to: 0, problem: null });
      expect(received).toEqual({ from: UDP_PAYLOAD_AT, to: UDP_PAYLOAD_AT + size, problem: null });
    }
  });

  test("TCP checksums add up over pseudo header, header and payload", () => {
    const framer = new Framer(1_448);
    const ends = [
      { ip: ipv4("255.254.253.252"), port: 65_535 },
      { ip: ipv4("1.2.3.4"), port: 11_211 },
    ] as const;
    for (const size of [0, 1, 2, 3, 1_448]) {
      const header = { sequence: 0xfffffff0, acknowledged: 5, flags: 0x18 };
      const length = framer.tcp(new Uint8Array(size).fill(0xfe), 0, size, ends[0], ends[1], true, header);
      expect(length).toBe(TCP_PAYLOAD_AT + size);
      const bytes = Buffer.from(framer.bytes.subarray(0, length));
      let sum = 6 + (length - 34);
      for (let at = 26; at < length; at += 2) {
        sum += at + 1 < length ? bytes.readUInt16BE(at) : bytes.readUInt8(at) << 8;
      }
      while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
      expect(sum, `payload of ${size}`).toBe(0xffff);
    }
  });

  test.each([
    ["127.0.0.1", 0x7f000001],
    ["::ffff:10.0.0.255", 0x0a0000ff],
    ["255.255.255.255", 0xffffffff],
    ["::1", -1],
    ["1.2.3", -1],
    ["1.2.3.256", -1],
    ["1..2.3", -1],
    ["", -1],
  ])("ipv4(%j) is %i", (text, value) => expect(ipv4(text)).toBe(value));
});
