/**
 * Ethernet, IPv4, UDP and TCP headers around payloads, so that a program written for the real XDP or tc
 * hook finds what it expects; and the checks a receiver's stack would make on what such a program sends
 * back. IPv4 without options; all numbers on the wire are big-endian. UDP checksums are 0 ("none", RFC 768),
 * TCP's are right.
 */
export const ETH_BYTES = 14;
export const IP_BYTES = 20;
export const UDP_BYTES = 8;
export const TCP_BYTES = 20;
export const UDP_PAYLOAD_AT = ETH_BYTES + IP_BYTES + UDP_BYTES;
export const TCP_PAYLOAD_AT = ETH_BYTES + IP_BYTES + TCP_BYTES;
/** Payload of a full TCP segment on Ethernet, timestamps included in the option space (RFC 6691, 7323). */
export const MSS_BYTES = 1_448;

export const TCP_FLAG = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16 } as const;

const UDP = 17;
const TCP = 6;
/** Locally administered addresses: the two ends of an imagined wire. */
const CLIENT_MAC = [0x02, 0, 0, 0, 0, 1];
const SERVER_MAC = [0x02, 0, 0, 0, 0, 2];

export type Endpoint = { readonly ip: number; readonly port: number };

/** Dotted IPv4 (also as IPv4-mapped IPv6) as a number; -1 for anything else. */
export function ipv4(address: string): number {
  const text = address.startsWith("::ffff:") ? address.slice(7) : address;
  let value = 0;
  let octet = -1;
  let dots = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 46) {
      if (octet < 0) return -1;
      value = value * 256 + octet;
      octet = -1;
      dots++;
    } else if (code >= 48 && code <= 57) octet = Math.max(octet, 0) * 10 + code - 48;
    else return -1;
    if (octet > 255) return -1;
  }
  return dots === 3 && octet >= 0 ? value * 256 + octet : -1;
}

/**
 * One wire: writes frames into its own staging bytes, to or from the server's end. Most frames differ from the one
 * before in length and identification only: the rest of their first two headers is left as it lies.
 */
export class Framer {
  readonly bytes: Uint8Array;
  #nextIpId = 1;
  /** What the headers in `bytes` were written for, and the sum of the IP header's words that stay. */
  #protocol = 0;
  #source = -1;
  #target = -1;
  #toServer = false;
  #fixedSum = 0;

  /** @param payloadMax bytes a frame has room for */
  constructor(payloadMax: number) {
    this.bytes = new Uint8Array(TCP_PAYLOAD_AT + payloadMax);
  }

  /** @returns the frame's length */
  udp(payload: Uint8Array, length: number, source: Endpoint, target: Endpoint, toServer: boolean): number {
    const { bytes } = this;
    this.#headers(UDP, UDP_BYTES + length, source.ip, target.ip, toServer);
    const at = ETH_BYTES + IP_BYTES;
    put16(bytes, at, source.port);
    put16(bytes, at + 2, target.port);
    put16(bytes, at + 4, UDP_BYTES + length);
    put16(bytes, at + 6, 0);
    copy(payload, 0, length, bytes, UDP_PAYLOAD_AT);
    return UDP_PAYLOAD_AT + length;
  }

  /** @param sequence of the first payload byte, modulo 2^32 @returns the frame's length */
  tcp(
    payload: Uint8Array,
    offset: number,
    length: number,
    source: Endpoint,
    target: Endpoint,
    toServer: boolean,
    header: { readonly sequence: number; readonly acknowledged: number; readonly flags: number },
  ): number {
    const { bytes } = this;
    this.#headers(TCP, TCP_BYTES + length, source.ip, target.ip, toServer);
    const at = ETH_BYTES + IP_BYTES;
    put16(bytes, at, source.port);
    put16(bytes, at + 2, target.port);
    put32(bytes, at + 4, header.sequence);
    put32(bytes, at + 8, header.acknowledged);
    bytes[at + 12] = (TCP_BYTES / 4) << 4;
    bytes[at + 13] = header.flags;
    put16(bytes, at + 14, 65_535);
    put32(bytes, at + 16, 0);
    copy(payload, offset, length, bytes, TCP_PAYLOAD_AT);
    const pseudo = halves(source.ip) + halves(target.ip) + TCP + TCP_BYTES + length;
    put16(bytes, at + 16, ~fold(sum(bytes, at, TCP_BYTES + length) + pseudo) & 0xffff);
    return TCP_PAYLOAD_AT + length;
  }

  #headers(protocol: number, length: number, source: number, target: number, toServer: boolean): void {
    if (
      protocol !== this.#protocol ||
      source !== this.#source ||
      target !== this.#target ||
      toServer !== this.#toServer
    ) {
      this.#readdress(protocol, source, target, toServer);
    }
    const { bytes } = this;
    const total = IP_BYTES + length;
    const id = this.#nextIpId;
    this.#nextIpId = (id + 1) & 0xffff;
    put16(bytes, 16, total);
    put16(bytes, 18, id);
    put16(bytes, 24, ~fold(this.#fixedSum + total + id) & 0xffff);
  }

  #readdress(protocol: number, source: number, target: number, toServer: boolean): void {
    const { bytes } = this;
    this.#protocol = protocol;
    this.#source = source;
    this.#target = target;
    this.#toServer = toServer;
    bytes.set(toServer ? SERVER_MAC : CLIENT_MAC, 0);
    bytes.set(toServer ? CLIENT_MAC : SERVER_MAC, 6);
    bytes[12] = 0x08;
    bytes[13] = 0x00;
    bytes.fill(0, ETH_BYTES, ETH_BYTES + IP_BYTES);
    bytes[14] = 0x45;
    put16(bytes, 20, 0x4000); // do not fragment
    bytes[22] = 64;
    bytes[23] = protocol;
    put32(bytes, 26, source);
    put32(bytes, 30, target);
    this.#fixedSum = sum(bytes, ETH_BYTES, IP_BYTES);
  }
}

/** What a receiver made of a frame: where the UDP payload lies, or why its stack would have dropped it. */
export type Received = { from: number; to: number; problem: FrameProblem | null };
export const FRAME_PROBLEMS = [
  "not-udp",
  "bad-length",
  "bad-ip-checksum",
  "bad-udp-checksum",
  "wrong-target",
] as const;
export type FrameProblem = (typeof FRAME_PROBLEMS)[number];

/** Reads a UDP reply in `bytes[start, end)` as the client's stack would. `into` is overwritten. */
export function receiveUdp(
  bytes: Uint8Array,
  start: number,
  end: number,
  client: Endpoint,
  into: Received,
): Received {
  into.problem = udpProblem(bytes, start, end, client);
  const at = start + ETH_BYTES + ((bytes[start + ETH_BYTES] ?? 0) & 15) * 4;
  into.from = at + UDP_BYTES;
  into.to = into.problem === null ? at + get16(bytes, at + 4) : into.from;
  return into;
}

function udpProblem(bytes: Uint8Array, start: number, end: number, client: Endpoint): FrameProblem | null {
  const ip = start + ETH_BYTES;
  if (end - start < UDP_PAYLOAD_AT || get16(bytes, start + 12) !== 0x0800) return "not-udp";
  const headerBytes = (bytes[ip]! & 15) * 4;
  if (bytes[ip]! >> 4 !== 4 || headerBytes < IP_BYTES || bytes[ip + 9] !== UDP) return "not-udp";
  const total = get16(bytes, ip + 2);
  // A frame may be longer than its IP packet (Ethernet pads), never shorter.
  if (total < headerBytes + UDP_BYTES || ip + total > end) return "bad-length";
  if (fold(sum(bytes, ip, headerBytes)) !== 0xffff) return "bad-ip-checksum";
  const udp = ip + headerBytes;
  const udpBytes = get16(bytes, udp + 4);
  if (udpBytes < UDP_BYTES || headerBytes + udpBytes > total) return "bad-length";
  if (get16(bytes, udp + 6) !== 0) {
    const pseudo = sum(bytes, ip + 12, 8) + UDP + udpBytes;
    if (fold(sum(bytes, udp, udpBytes) + pseudo) !== 0xffff) return "bad-udp-checksum";
  }
  const isForClient = get32(bytes, ip + 16) === client.ip && get16(bytes, udp + 2) === client.port;
  return isForClient ? null : "wrong-target";
}

function get16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

function get32(bytes: Uint8Array, at: number): number {
  return get16(bytes, at) * 65_536 + get16(bytes, at + 2);
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

function put32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** The 16-bit words added up (RFC 1071), unfolded: frames are short enough not to overflow a double. */
function sum(bytes: Uint8Array, start: number, length: number): number {
  let total = 0;
  const even = start + (length & ~1);
  for (let i = start; i < even; i += 2) total += (bytes[i]! << 8) | bytes[i + 1]!;
  return length & 1 ? total + (bytes[even]! << 8) : total;
}

function halves(value: number): number {
  return Math.floor(value / 65_536) + (value & 0xffff);
}

function fold(total: number): number {
  let folded = total;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 65_536);
  return folded;
}

/** set(subarray) costs ~100 ns before its first byte; a loop wins on short payloads. */
function copy(source: Uint8Array, offset: number, length: number, target: Uint8Array, at: number): void {
  if (length <= 128) for (let i = 0; i < length; i++) target[at + i] = source[offset + i]!;
  else target.set(source.subarray(offset, offset + length), at);
}
