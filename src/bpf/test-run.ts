/**
 * One program over one packet, as Linux's BPF_PROG_TEST_RUN does it (`bpftool prog run`): the same frame
 * limits, the same context fields taken and given back, the same bytes out. Linux cannot test-run sk_skb
 * programs; here they get the packet as it is.
 */
import { contextBytes, contextFields, XDP_MD_BYTES } from "./context.ts";
import type { Fault } from "./fault.ts";
import type { Kernel, LoadedProgram } from "./kernel.ts";
import { HEADROOM_BYTES, type PacketBuffer } from "./packet-buffer.ts";

const ETHERNET_HEADER_BYTES = 14;
/** One page a frame, less skb_shared_info: what an XDP program may grow its packet to. */
const XDP_FRAME_BYTES = 4096 - 320;
const XDP_DATA_FIELD = 0;
const XDP_END_FIELD = 4;
const XDP_META_FIELD = 8;
const SKB_PKT_TYPE = 4;
const SKB_PROTOCOL = 16;
/** Given as 0 it becomes the packet's length. */
const SKB_WIRE_LEN = 160;
/** Fields of __sk_buff a test run may set, and gets back; all others must be zero. */
const SKB_FIELDS = [
  "mark",
  "priority",
  "ifindex",
  "cb0",
  "cb1",
  "cb2",
  "cb3",
  "cb4",
  "tstamp",
  "wire_len",
  "gso_segs",
  "gso_size",
];
/** Ethernet types below this are lengths of an IEEE 802.3 frame. */
const FIRST_ETHERTYPE = 0x600;
const ETH_P_802_2 = 0x0004;
const PACKET_MULTICAST = 2;
const PACKET_OTHERHOST = 3;

export type TestRunInput = {
  readonly data: Uint8Array;
  /** struct xdp_md or struct __sk_buff, possibly cut short. */
  readonly context?: Uint8Array;
  readonly repeat?: number;
};

export type TestRunResult = {
  /** r0, its low 32 bits unsigned. */
  readonly retval: number;
  readonly data: Uint8Array;
  readonly context: Uint8Array;
  /** Mean over all repeats, putting the packet back not counted. */
  readonly nsPerRun: number;
  /** Of the last run. */
  readonly instructions: number;
  readonly fault: Fault | null;
};

/** @param packet made by `kernel` for the program's type, before an unverified program was loaded */
export function testRun(
  kernel: Kernel,
  loaded: LoadedProgram,
  packet: PacketBuffer,
  input: TestRunInput,
): TestRunResult {
  const problem = inputProblem(loaded, packet, input);
  if (problem) throw new RangeError(problem);
  const repeat = Math.max(1, input.repeat ?? 1);
  const prepare = () => prepareRun(kernel, loaded, packet, input);
  let retval = 0;
  let before = 0;
  const start = performance.now();
  for (let i = 0; i < repeat && !loaded.fault; i++) {
    prepare();
    before = loaded.stats.instructions;
    retval = loaded.run(packet.ctxAddress) >>> 0;
  }
  const spent = performance.now() - start;
  const { instructions } = loaded.stats;
  const result = {
    retval,
    data: dataOut(loaded, packet),
    context: contextOut(kernel, loaded, packet, input),
    instructions: instructions - before,
    fault: loaded.fault,
  };
  const again = performance.now();
  for (let i = 0; i < repeat; i++) prepare();
  const preparing = performance.now() - again;
  return { ...result, nsPerRun: Math.max(0, Math.round(((spent - preparing) * 1e6) / repeat)) };
}

/** Why Linux would answer EINVAL, in words. */
function inputProblem(
  loaded: LoadedProgram,
  packet: PacketBuffer,
  { data, context }: TestRunInput,
): string | null {
  if (data.length > packet.capacity) {
    return `the packet has ${data.length} bytes; at most ${packet.capacity} fit the buffer`;
  }
  if (!context) return null;
  const most = contextBytes(loaded.type);
  if (context.length > most) {
    return `the context has ${context.length} bytes; this program's has ${most}`;
  }
  const fields = view(padded(context, most));
  if (loaded.type === "xdp") {
    const metaBytes = fields.getUint32(XDP_DATA_FIELD, true);
    const end = fields.getUint32(XDP_END_FIELD, true);
    if (fields.getUint32(XDP_META_FIELD, true) !== 0) return "xdp_md.data_meta must be 0";
    if (end !== data.length) return `xdp_md.data_end is ${end}; it must be the data's ${data.length} bytes`;
    if (metaBytes > end || metaBytes % 4 !== 0) {
      return `xdp_md.data is ${metaBytes}; it is the metadata's length, a multiple of 4 within the data`;
    }
    return null;
  }
  const known = new Set(SKB_FIELDS);
  for (const { name, offset, bytes } of contextFields(loaded.type)) {
    if (known.has(name)) continue;
    for (let i = offset; i < offset + bytes; i += 4) {
      if (fields.getUint32(i, true) !== 0) return `__sk_buff.${name} must be 0 in a test run`;
    }
  }
  return null;
}

function prepareRun(kernel: Kernel, loaded: LoadedProgram, packet: PacketBuffer, input: TestRunInput): void {
  const { data, context } = input;
  switch (loaded.type) {
    case "xdp": {
      packet.reset(data);
      // Linux takes a fresh frame, all zeros in front of the packet; ours remembers the run before.
      kernel.rt.memory.bytes.fill(0, packet.hardStart, packet.data);
      // A longer packet, which Linux would take as several buffers, gets all the room there is.
      packet.hardEnd = packet.hardStart + HEADROOM_BYTES + xdpRoom(packet, data.length);
      if (context && context.length >= 4) {
        packet.data = packet.dataMeta + view(context).getUint32(XDP_DATA_FIELD, true);
        packet.syncContext();
      }
      return;
    }
    case "socket_filter":
      // A filter sits behind the link layer: it sees the packet from the network header on.
      packet.reset(data, Math.min(ETHERNET_HEADER_BYTES, data.length));
      break;
    default:
      packet.reset(data);
  }
  if (loaded.type !== "sk_skb") describeFrame(kernel, packet, data);
  if (!context) return;
  const memory = kernel.rt.memory.bytes;
  for (const { name, offset, bytes } of contextFields(loaded.type)) {
    if (!SKB_FIELDS.includes(name) || offset + bytes > context.length) continue;
    memory.set(context.subarray(offset, offset + bytes), packet.ctxAddress + offset);
  }
  const wireLength = packet.ctxAddress + SKB_WIRE_LEN;
  const { view: words } = kernel.rt.memory;
  if (words.getUint32(wireLength, true) === 0) words.setUint32(wireLength, packet.length, true);
}

function xdpRoom(packet: PacketBuffer, length: number): number {
  const frame = XDP_FRAME_BYTES - HEADROOM_BYTES;
  return length <= frame ? Math.min(frame, packet.capacity) : packet.capacity;
}

/** skb->protocol and skb->pkt_type as the Ethernet layer sets them; the loopback device of a test
 *  run has an address of all zeros, and knows no broadcast address. */
function describeFrame(kernel: Kernel, packet: PacketBuffer, frame: Uint8Array): void {
  if (frame.length < ETHERNET_HEADER_BYTES) return;
  const { view: memory } = kernel.rt.memory;
  const ethertype = (frame[12]! << 8) | frame[13]!;
  const protocol = ethertype >= FIRST_ETHERTYPE ? ethertype : ETH_P_802_2;
  memory.setUint16(packet.ctxAddress + SKB_PROTOCOL, protocol, false);
  const target = frame.subarray(0, 6);
  const isGroup = (target[0]! & 1) === 1;
  const isOurs = target.every((byte) => byte === 0);
  const type = isGroup ? PACKET_MULTICAST : isOurs ? 0 : PACKET_OTHERHOST;
  memory.setUint32(packet.ctxAddress + SKB_PKT_TYPE, type, true);
}

function dataOut(loaded: LoadedProgram, packet: PacketBuffer): Uint8Array {
  if (loaded.type === "xdp") return packet.bytesWithMeta().slice();
  if (loaded.type !== "socket_filter") return packet.bytes().slice();
  // Linux pushes the link-layer header back, zeroed.
  const out = new Uint8Array(ETHERNET_HEADER_BYTES + packet.length);
  out.set(packet.bytes(), ETHERNET_HEADER_BYTES);
  return out;
}

function contextOut(
  kernel: Kernel,
  loaded: LoadedProgram,
  packet: PacketBuffer,
  { context }: TestRunInput,
): Uint8Array {
  const at = packet.ctxAddress;
  const memory = kernel.rt.memory.bytes;
  const out = padded(context ?? new Uint8Array(0), contextBytes(loaded.type));
  if (loaded.type === "xdp") {
    out.set(memory.subarray(at, at + XDP_MD_BYTES));
    const fields = view(out);
    fields.setUint32(XDP_DATA_FIELD, packet.data - packet.dataMeta, true);
    fields.setUint32(XDP_END_FIELD, packet.dataEnd - packet.dataMeta, true);
    fields.setUint32(XDP_META_FIELD, 0, true);
    return out;
  }
  for (const { name, offset, bytes } of contextFields(loaded.type)) {
    if (SKB_FIELDS.includes(name)) out.set(memory.subarray(at + offset, at + offset + bytes), offset);
  }
  return out;
}

function padded(bytes: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(length);
  out.set(bytes.subarray(0, length));
  return out;
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
