/**
 * TCP as XDP and tc see it: each chunk of a connection is shown to the programs as segments of the size a
 * wire has, with sequence numbers that count, a SYN first and a FIN last. Programs watch here, for
 * invalidation: a verdict other than pass is a segment that never arrives, which ends the connection, since
 * nobody would send it again.
 */
import { TC_ACTION, XDP_ACTION } from "../bpf/context.ts";
import type { Fault } from "../bpf/fault.ts";
import type { Kernel, LoadedProgram } from "../bpf/kernel.ts";
import type { PacketBuffer } from "../bpf/packet-buffer.ts";
import { type Endpoint, Framer, ipv4, MSS_BYTES, TCP_FLAG } from "./packet-headers.ts";

export type SegmentHookOptions = {
  readonly kernel: Kernel;
  readonly xdp: LoadedProgram | null;
  readonly tc: LoadedProgram | null;
  readonly onFault: (fault: Fault, program: LoadedProgram) => void;
};

export type FlowEnds = {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
};

export interface SegmentFlow {
  /** @returns false when a segment did not get through */
  ingress(chunk: Uint8Array): boolean;
  egress(chunk: Uint8Array): boolean;
  close(): void;
}

const NOTHING = new Uint8Array(0);

export class SegmentHook {
  xdp: LoadedProgram | null;
  tc: LoadedProgram | null;
  segments = 0;
  egressSegments = 0;
  drops = 0;
  faults = 0;
  readonly #options: SegmentHookOptions;
  readonly #framer = new Framer(MSS_BYTES);
  readonly #packet: PacketBuffer;
  readonly #skb: PacketBuffer;

  constructor(options: SegmentHookOptions) {
    this.#options = options;
    this.xdp = options.xdp;
    this.tc = options.tc;
    const room = { roomBytes: 4_096 };
    this.#packet = options.kernel.createPacketBuffer("xdp", room);
    this.#skb = options.kernel.createPacketBuffer("tc", room);
  }

  /** @returns null for a connection the programs cannot see: not over IPv4 */
  open(ends: FlowEnds): SegmentFlow | null {
    const remote = { ip: ipv4(ends.remoteAddress), port: ends.remotePort };
    const local = { ip: ipv4(ends.localAddress), port: ends.localPort };
    return remote.ip < 0 || local.ip < 0 ? null : new Flow(this, remote, local);
  }

  /** One segment towards the server. */
  receive(
    payload: Uint8Array,
    offset: number,
    length: number,
    remote: Endpoint,
    local: Endpoint,
    header: Header,
  ): boolean {
    const program = this.xdp;
    if (program === null) return true;
    const bytes = this.#framer.tcp(payload, offset, length, remote, local, true, header);
    this.#packet.reset(this.#framer.bytes, 0, bytes);
    this.segments++;
    const action = program.run(this.#packet.ctxAddress);
    if (program.fault !== null) return this.#faulted(program.fault, program);
    if (action === XDP_ACTION.pass) return true;
    this.drops++;
    return false;
  }

  /** One segment from the server. */
  send(
    payload: Uint8Array,
    offset: number,
    length: number,
    remote: Endpoint,
    local: Endpoint,
    header: Header,
  ): boolean {
    const program = this.tc;
    if (program === null) return true;
    const bytes = this.#framer.tcp(payload, offset, length, local, remote, false, header);
    this.#skb.reset(this.#framer.bytes, 0, bytes);
    this.egressSegments++;
    const action = program.run(this.#skb.ctxAddress);
    if (program.fault !== null) return this.#faulted(program.fault, program);
    if (action !== TC_ACTION.shot) return true;
    this.drops++;
    return false;
  }

  #faulted(fault: Fault, program: LoadedProgram): true {
    this.faults++;
    if (this.xdp === program) this.xdp = null;
    if (this.tc === program) this.tc = null;
    this.#options.onFault(fault, program);
    return true;
  }
}

type Header = { sequence: number; acknowledged: number; flags: number };

class Flow implements SegmentFlow {
  readonly #hook: SegmentHook;
  readonly #remote: Endpoint;
  readonly #local: Endpoint;
  /** Sequence numbers of both directions; the handshake took one of each. */
  #received = 1;
  #sent = 1;
  readonly #header: Header = { sequence: 0, acknowledged: 0, flags: TCP_FLAG.syn };

  constructor(hook: SegmentHook, remote: Endpoint, local: Endpoint) {
    this.#hook = hook;
    this.#remote = remote;
    this.#local = local;
    hook.receive(NOTHING, 0, 0, remote, local, this.#header);
  }

  ingress(chunk: Uint8Array): boolean {
    for (let at = 0; at < chunk.length; at += MSS_BYTES) {
      const length = Math.min(MSS_BYTES, chunk.length - at);
      const header = this.#set(this.#received, this.#sent, at + length === chunk.length);
      this.#received = (this.#received + length) >>> 0;
      if (!this.#hook.receive(chunk, at, length, this.#remote, this.#local, header)) return false;
    }
    return true;
  }

  egress(chunk: Uint8Array): boolean {
    if (this.#hook.tc === null) {
      this.#sent = (this.#sent + chunk.length) >>> 0;
      return true;
    }
    for (let at = 0; at < chunk.length; at += MSS_BYTES) {
      const length = Math.min(MSS_BYTES, chunk.length - at);
      const header = this.#set(this.#sent, this.#received, at + length === chunk.length);
      this.#sent = (this.#sent + length) >>> 0;
      if (!this.#hook.send(chunk, at, length, this.#remote, this.#local, header)) return false;
    }
    return true;
  }

  close(): void {
    const header = this.#set(this.#received, this.#sent, false);
    header.flags |= TCP_FLAG.fin;
    this.#hook.receive(NOTHING, 0, 0, this.#remote, this.#local, header);
  }

  #set(sequence: number, acknowledged: number, isLast: boolean): Header {
    const header = this.#header;
    header.sequence = sequence;
    header.acknowledged = acknowledged;
    header.flags = isLast ? TCP_FLAG.ack | TCP_FLAG.psh : TCP_FLAG.ack;
    return header;
  }
}
