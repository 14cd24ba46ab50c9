/**
 * XDP ingress and tc egress before a datagram server. A datagram gets its headers back and goes through the
 * XDP program; XDP_TX sends what the program left in the packet to whom the packet is addressed, if a real
 * client's stack would take it. Replies of the server go through the tc program before they are sent.
 * A fault ends a program's service, never the server's.
 */
import { TC_ACTION, XDP_ACTION } from "../bpf/context.ts";
import type { Fault } from "../bpf/fault.ts";
import type { Kernel, LoadedProgram } from "../bpf/kernel.ts";
import type { PacketBuffer } from "../bpf/packet-buffer.ts";
import {
  type Endpoint,
  FRAME_PROBLEMS,
  type FrameProblem,
  Framer,
  ipv4,
  type Received,
  receiveUdp,
} from "./packet-headers.ts";

/** No UDP payload over IPv4 is longer. */
const PAYLOAD_MAX_BYTES = 65_507;
/** ingress() hands the datagram on, or keeps it. Any other result is the length of `reply`. */
export const INGRESS = { pass: -1, drop: 0 } as const;
/** egress() drops the datagram. */
export const EGRESS_DROP = -1;

export type Peer = { readonly address: string; readonly port: number };

export type DatagramHookOptions = {
  readonly kernel: Kernel;
  readonly xdp: LoadedProgram | null;
  readonly tc: LoadedProgram | null;
  /** The server's own address; programs tell requests by the port. */
  readonly local: Peer;
  readonly onFault: (fault: Fault, program: LoadedProgram) => void;
  /** Called before the XDP program sees a datagram: empties the hot tier where it may not be served from. */
  readonly guard?: (() => void) | undefined;
  /** Told of each answer given here and each datagram passed, for costs and statistics. */
  readonly onVerdict?: (action: number, bytes: number, instructions: number) => void;
};

export const XDP_ACTIONS = ["aborted", "drop", "pass", "tx", "redirect", "other"] as const;

export class DatagramHook {
  /** Bytes of the last answer; take() when a socket holds on to them. */
  reply: Buffer = Buffer.allocUnsafeSlow(PAYLOAD_MAX_BYTES);
  xdp: LoadedProgram | null;
  tc: LoadedProgram | null;
  /** Runs by what the program said, in the order of XDP_ACTIONS. */
  readonly verdicts = new Float64Array(XDP_ACTIONS.length);
  /** Answers a client's stack would not have taken. */
  readonly undeliverable: Record<FrameProblem, number> = Object.fromEntries(
    FRAME_PROBLEMS.map((name) => [name, 0]),
  ) as Record<FrameProblem, number>;
  egressRuns = 0;
  egressDrops = 0;
  faults = 0;
  readonly #options: DatagramHookOptions;
  readonly #local: Endpoint;
  readonly #framer = new Framer(PAYLOAD_MAX_BYTES);
  readonly #packet: PacketBuffer;
  readonly #skb: PacketBuffer;
  readonly #received: Received = { from: 0, to: 0, problem: null };
  #peer = { address: "", ip: -1, port: 0 };

  constructor(options: DatagramHookOptions) {
    this.#options = options;
    this.xdp = options.xdp;
    this.tc = options.tc;
    this.#local = { ip: Math.max(0, ipv4(options.local.address)), port: options.local.port };
    this.#packet = options.kernel.createPacketBuffer("xdp");
    this.#skb = options.kernel.createPacketBuffer("tc");
  }

  /** @returns INGRESS.pass, INGRESS.drop, or how many bytes of `reply` to send back */
  ingress(datagram: Uint8Array, from: Peer): number {
    const program = this.xdp;
    // BMC's wire is IPv4; a datagram over IPv6 is the server's.
    if (program === null || !this.#identify(from)) return INGRESS.pass;
    this.#options.guard?.();
    const length = this.#framer.udp(datagram, datagram.length, this.#peer, this.#local, true);
    const packet = this.#packet;
    packet.reset(this.#framer.bytes, 0, length);
    const before = program.stats.instructions;
    const action = program.run(packet.ctxAddress);
    if (program.fault !== null) return this.#faulted(program.fault, program);
    this.verdicts[action >= 0 && action <= 4 ? action : 5]!++;
    this.#options.onVerdict?.(action, length, program.stats.instructions - before);
    if (action === XDP_ACTION.pass) return INGRESS.pass;
    return action === XDP_ACTION.tx ? this.#transmit(packet) : INGRESS.drop;
  }

  /** Runs the tc program over a reply. @returns its length, as the program left it in `datagram`, or EGRESS_DROP */
  egress(datagram: Buffer, length: number, to: Peer): number {
    const program = this.tc;
    if (program === null || !this.#identify(to)) return length;
    const frameBytes = this.#framer.udp(datagram, length, this.#local, this.#peer, false);
    const skb = this.#skb;
    skb.reset(this.#framer.bytes, 0, frameBytes);
    const action = program.run(skb.ctxAddress);
    this.egressRuns++;
    if (program.fault !== null) {
      this.#faulted(program.fault, program);
      return length;
    }
    if (action === TC_ACTION.shot) {
      this.egressDrops++;
      return EGRESS_DROP;
    }
    return length;
  }

  /** Somebody still holds `reply`: the next answer gets bytes of its own. */
  renewReply(): void {
    this.reply = Buffer.allocUnsafeSlow(PAYLOAD_MAX_BYTES);
  }

  #transmit(packet: PacketBuffer): number {
    const { bytes } = this.#options.kernel.rt.memory;
    const received = receiveUdp(bytes, packet.data, packet.dataEnd, this.#peer, this.#received);
    if (received.problem !== null) {
      this.undeliverable[received.problem]++;
      return INGRESS.drop;
    }
    this.reply.set(bytes.subarray(received.from, received.to));
    return received.to - received.from;
  }

  #identify(peer: Peer): boolean {
    const known = this.#peer;
    known.port = peer.port;
    if (known.address !== peer.address) {
      known.address = peer.address;
      known.ip = ipv4(peer.address);
    }
    return known.ip >= 0;
  }

  #faulted(fault: Fault, program: LoadedProgram): number {
    this.faults++;
    if (this.xdp === program) this.xdp = null;
    if (this.tc === program) this.tc = null;
    this.#options.onFault(fault, program);
    return INGRESS.pass;
  }
}
