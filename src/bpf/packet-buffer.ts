/**
 * One packet in linear memory with room before and behind it, and the context struct that describes it.
 * Reused for every packet: reset() copies bytes in and allocates nothing. Positions are addresses;
 * hardStart <= dataMeta <= data <= dataEnd <= hardEnd always holds.
 */
import { contextBytes, SK_BUFF_BYTES } from "./context.ts";
import type { ProgramType } from "./program.ts";
import type { Packet, Runtime } from "./runtime.ts";

/** Linux XDP_PACKET_HEADROOM. */
export const HEADROOM_BYTES = 256;
export const MAX_PACKET_BYTES = 65_536;
/** Room a program may grow its packet into. */
export const TAILROOM_BYTES = 512;

/** Up to here a loop beats making a view (50 ns); a whole source needs no view (15 ns). */
const LOOP_BYTES = 40;

/** Field offsets of the two context structs (context.ts), as reset() writes them. */
const XDP = { data: 0, dataEnd: 4, dataMeta: 8, ifindex: 12, queue: 16 } as const;
const SKB = { len: 0, protocol: 16, ifindex: 40, data: 76, dataEnd: 80, dataMeta: 140 } as const;

export type PacketBufferOptions = {
  /** Room for data and growth behind the headroom; default 64 KiB + 512. */
  readonly roomBytes?: number;
  readonly ifindex?: number;
};

export class PacketBuffer implements Packet {
  readonly type: ProgramType;
  readonly ctxAddress: number;
  readonly ctxBytes: number;
  readonly hardStart: number;
  /** A program cannot grow the packet past this. Callers may lower it to model a smaller frame. */
  hardEnd: number;
  data: number;
  dataEnd: number;
  dataMeta: number;
  readonly #rt: Runtime;
  readonly #roomEnd: number;
  readonly #ifindex: number;

  constructor(rt: Runtime, type: ProgramType, options: PacketBufferOptions = {}) {
    this.#rt = rt;
    this.type = type;
    this.#ifindex = options.ifindex ?? 1;
    this.ctxBytes = contextBytes(type);
    this.ctxAddress = rt.memory.alloc(this.ctxBytes, 64, "context struct");
    const room = HEADROOM_BYTES + (options.roomBytes ?? MAX_PACKET_BYTES + TAILROOM_BYTES);
    this.hardStart = rt.memory.alloc(room, 64, "packet buffer");
    this.hardEnd = this.hardStart + room;
    this.#roomEnd = this.hardEnd;
    this.data = this.hardStart + HEADROOM_BYTES;
    this.dataEnd = this.data;
    this.dataMeta = this.data;
  }

  get length(): number {
    return this.dataEnd - this.data;
  }

  /** The longest packet reset() takes. */
  get capacity(): number {
    return this.#roomEnd - this.hardStart - HEADROOM_BYTES;
  }

  /**
   * Makes `length` bytes of `source` the packet and fills the context struct.
   * @throws RangeError when they exceed `capacity`
   */
  reset(source: Uint8Array, offset = 0, length = source.length - offset): void {
    if (length > this.capacity) {
      throw new RangeError(`a packet of ${length} bytes does not fit the buffer's ${this.capacity}`);
    }
    const at = this.hardStart + HEADROOM_BYTES;
    const { bytes } = this.#rt.memory;
    if (offset === 0 && length === source.length) {
      bytes.set(source, at);
    } else if (length <= LOOP_BYTES) {
      for (let i = 0; i < length; i++) bytes[at + i] = source[offset + i]!;
    } else {
      bytes.set(new Uint8Array(source.buffer, source.byteOffset + offset, length), at);
    }
    this.data = at;
    this.dataMeta = at;
    this.dataEnd = at + length;
    this.#rt.packet = this;
    this.#clearContext();
    this.syncContext();
  }

  /** Writes the positions into the context struct; call after changing one. */
  syncContext(): void {
    const { words } = this.#rt.memory;
    const ctx = this.ctxAddress;
    if (this.type === "xdp") {
      words[(ctx + XDP.data) >> 2] = this.data;
      words[(ctx + XDP.dataEnd) >> 2] = this.dataEnd;
      words[(ctx + XDP.dataMeta) >> 2] = this.dataMeta;
      return;
    }
    words[(ctx + SKB.len) >> 2] = this.dataEnd - this.data;
    words[(ctx + SKB.data) >> 2] = this.data;
    words[(ctx + SKB.dataEnd) >> 2] = this.dataEnd;
    words[(ctx + SKB.dataMeta) >> 2] = this.dataMeta;
  }

  /** A view of the packet as it is now; valid until the next reset() or map creation. */
  bytes(): Uint8Array {
    return this.#rt.memory.bytes.subarray(this.data, this.dataEnd);
  }

  /** As bytes(), with the metadata in front of it, as Linux hands it out after a test run. */
  bytesWithMeta(): Uint8Array {
    return this.#rt.memory.bytes.subarray(this.dataMeta, this.dataEnd);
  }

  #clearContext(): void {
    const { words } = this.#rt.memory;
    const first = this.ctxAddress >> 2;
    if (this.type === "xdp") {
      words[first + (XDP.ifindex >> 2)] = this.#ifindex;
      words[first + (XDP.queue >> 2)] = 0;
      return;
    }
    words.fill(0, first, first + (SK_BUFF_BYTES >> 2));
    words[first + (SKB.ifindex >> 2)] = this.#ifindex;
    // skb->protocol is the Ethernet type in network order; IPv4 over TCP is all a stream socket sees here.
    words[first + (SKB.protocol >> 2)] = 0x0008;
  }
}
