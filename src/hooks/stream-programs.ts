/**
 * The sk_skb pair at work on one packet buffer: the parser says where a message ends, the verdict what
 * becomes of it. All connections take turns with the same buffer; nothing is allocated per message.
 */
import { SK_ACTION } from "../bpf/context.ts";
import type { Fault } from "../bpf/fault.ts";
import type { LoadedProgram } from "../bpf/kernel.ts";
import type { ArrayLike, BpfMap } from "../bpf/maps/map.ts";
import type { SocketMap } from "../bpf/maps/sockets.ts";
import { HEADROOM_BYTES, type PacketBuffer } from "../bpf/packet-buffer.ts";
import type { AttachType, ProgramObject } from "../bpf/program.ts";
import type { Runtime } from "../bpf/runtime.ts";
import type { Key } from "../tiers/cold/store.ts";
import type { HotTier } from "../tiers/hot/hot-tier.ts";
import type { HotMachine } from "../tiers/hot/machine.ts";
import { RUN_INFO_WORD } from "../tiers/hot/run-info.ts";
import { HttpDate } from "./http-date.ts";
import { AF_INET, type SocketIdentity } from "./socket-key.ts";

/** Bytes of a message a program gets to see: no head or line it frames is longer (http_kv.h, HEAD_MAX). */
export const VISIBLE_BYTES = 4_104;
/** The longest reply: memcached_skb.h's of many items. */
const REPLY_ROOM = 8_192;

/** Byte offsets in struct __sk_buff (bpf/context.ts). */
const SKB = {
  priority: 32,
  tcIndex: 44,
  family: 88,
  remoteIp4: 92,
  remoteIp6: 100,
  remotePort: 132,
  localPort: 136,
} as const;

/** What we tell programs of the connection, where they have this map (memcached_skb.h): `ordered` u32. */
const STREAM_MAP = "mc_stream";

/** What became of a message. */
export const FATE = { pass: 0, reply: 1, drop: 2 } as const;
export type Fate = (typeof FATE)[keyof typeof FATE];

/** Something that keeps an object from being attached: told to the user in one line. */
export class AttachError extends Error {
  readonly exitCode = 1;
}

export type StreamPair = { readonly parser: LoadedProgram; readonly verdict: LoadedProgram };

/** @throws AttachError, LoadError */
export function loadStreamPair(machine: HotMachine, object: ProgramObject): StreamPair {
  const of = (attach: AttachType) => {
    const program = object.programs.find((p) => p.type === "sk_skb" && p.attach === attach);
    if (program) return program;
    const has = object.programs.map((p) => `${p.name} (${p.section})`).join(", ") || "none";
    throw new AttachError(`the object has no sk_skb/${attach} program to attach; it has: ${has}`);
  };
  // Both are looked for before either is loaded.
  const parser = of("stream_parser");
  const verdict = of("stream_verdict");
  return { parser: machine.load(parser), verdict: machine.load(verdict) };
}

export class StreamPrograms {
  readonly parser: LoadedProgram;
  readonly verdict: LoadedProgram;
  readonly packet: PacketBuffer;
  readonly date: HttpDate;
  readonly #rt: Runtime;
  /** Where the pair looks its own connection up. */
  readonly #sockets: readonly SocketMap[];
  readonly #runInfo: number;
  /** Address of struct mc_stream, for programs that want to see every message; else 0. */
  readonly #stream: number;
  readonly #hot: HotTier;
  /** Whose connection the context struct describes. */
  #identity: SocketIdentity | null = null;

  /** @param packet the buffer of a pair this one takes turns with */
  constructor(machine: HotMachine, { parser, verdict }: StreamPair, packet?: PacketBuffer) {
    const { kernel } = machine;
    this.#rt = kernel.rt;
    this.#hot = machine.hot;
    this.packet = packet ?? kernel.createPacketBuffer("sk_skb", { roomBytes: VISIBLE_BYTES + REPLY_ROOM });
    // Zeroes the context struct; from then on only what differs between messages is written.
    this.packet.reset(new Uint8Array(0));
    this.parser = parser;
    this.verdict = verdict;
    const defs = [...parser.program.maps, ...verdict.program.maps];
    this.#sockets = [...kernel.maps].filter(
      ({ def }) => def.type === "sockhash" && defs.includes(def),
    ) as SocketMap[];
    this.#runInfo = addressOf(machine, machine.map("run_info"));
    const stream = [...kernel.maps].find(({ def }) => def.name === STREAM_MAP && defs.includes(def));
    this.#stream = addressOf(machine, stream ?? null);
    this.date = new HttpDate(this.#rt.memory, addressOf(machine, machine.map("http_date")));
  }

  /** The fault that ended the pair's service, or null. */
  get fault(): Fault | null {
    return this.parser.fault ?? this.verdict.fault;
  }

  /** Instructions both have executed since they were loaded. */
  get instructions(): number {
    return this.parser.stats.instructions + this.verdict.stats.instructions;
  }

  /** The context struct was another pair's until now. */
  claim(): void {
    this.#identity = null;
    this.packet.reset(new Uint8Array(0));
  }

  addSocket(identity: SocketIdentity, handle: number): void {
    for (const map of this.#sockets) map.setHandle(identity.key, handle);
  }

  removeSocket(identity: SocketIdentity): void {
    for (const map of this.#sockets) map.remove(identity.key);
  }

  /**
   * Puts the stream's bytes in [offset, end) into the packet and runs the parser.
   * @returns the message's length, which may exceed what is there; 0 when more bytes are needed to tell;
   * negative when it gives the connection up, or faulted
   */
  frame(chunk: Uint8Array, offset: number, end: number, identity: SocketIdentity): number {
    const rt = this.#rt;
    const { packet } = this;
    if (identity !== this.#identity) this.#identify(identity);
    const { bytes, words } = rt.memory;
    const at = packet.hardStart + HEADROOM_BYTES;
    const length = Math.min(end - offset, VISIBLE_BYTES);
    bytes.set(chunk.subarray(offset, offset + length), at);
    packet.data = at;
    packet.dataMeta = at;
    packet.dataEnd = at + length;
    rt.packet = packet;
    packet.syncContext();
    // The two fields an sk_skb program may write.
    const ctx = packet.ctxAddress;
    words[(ctx + SKB.priority) >> 2] = 0;
    words[(ctx + SKB.tcIndex) >> 2] = 0;
    return this.parser.run(ctx);
  }

  /** Runs the verdict on the message just framed, of which `bytes` are there. */
  judge(bytes: number, handle: number): Fate {
    const { packet } = this;
    if (bytes < packet.dataEnd - packet.data) {
      packet.dataEnd = packet.data + bytes;
      packet.syncContext();
    }
    const action = this.verdict.run(packet.ctxAddress);
    if (this.verdict.fault !== null) return FATE.pass;
    if (this.#rt.redirectTarget === handle && action === SK_ACTION.pass) return FATE.reply;
    return action === SK_ACTION.drop ? FATE.drop : FATE.pass;
  }

  /**
   * Shows the verdict a message that cannot be answered here, for it would overtake what userspace works on;
   * programs that need not know are not asked.
   */
  watch(bytes: number): void {
    const ordered = this.#stream >> 2;
    if (ordered === 0) return;
    this.#rt.memory.words[ordered] = 1;
    this.judge(bytes, -1);
    this.#rt.memory.words[ordered] = 0;
  }

  /** Why the last run decided as it did; 0 from programs that do not say. */
  get reason(): number {
    return this.#runInfo === 0 ? 0 : this.#rt.memory.words[(this.#runInfo >> 2) + RUN_INFO_WORD.reason]!;
  }

  /** Key of the entry the last run answered from; empty from programs that do not say. */
  lastKey(): Key {
    if (this.#runInfo === 0) return "";
    return this.#hot.keyOf(this.#rt.memory.words[(this.#runInfo >> 2) + RUN_INFO_WORD.hash]! >>> 0);
  }

  /** Of the message just framed, up to and with the empty line; 0 from programs that do not say. */
  get headLength(): number {
    return this.#runInfo === 0 ? 0 : this.#rt.memory.words[(this.#runInfo >> 2) + RUN_INFO_WORD.headLen]!;
  }

  /** The kernel's whole memory; the reply lies at packet.data .. packet.dataEnd. */
  get memoryBytes(): Uint8Array {
    return this.#rt.memory.bytes;
  }

  #identify(identity: SocketIdentity): void {
    this.#identity = identity;
    const { family, words: key } = identity;
    const { words } = this.#rt.memory;
    const ctx = this.packet.ctxAddress;
    words[(ctx + SKB.family) >> 2] = family;
    const v4 = family === AF_INET;
    words[(ctx + SKB.remoteIp4) >> 2] = v4 ? key[3]! : 0;
    for (let i = 0; i < 4; i++) words[((ctx + SKB.remoteIp6) >> 2) + i] = v4 ? 0 : key[i]!;
    words[(ctx + SKB.remotePort) >> 2] = key[4]!;
    words[(ctx + SKB.localPort) >> 2] = key[5]!;
  }
}

function addressOf(machine: HotMachine, map: BpfMap | null): number {
  if (map === null) return 0;
  // Of a per-CPU map, the value of the CPU that runs here.
  const { baseAddress, cpuStrideBytes } = map as ArrayLike;
  return baseAddress + machine.kernel.rt.cpu * cpuStrideBytes;
}
