/** Frames on the imagined wire between a memcached client and its server, as XDP and tc see them. */
const CLIENT = [10, 0, 0, 1];
const SERVER = [10, 0, 0, 2];
export const MEMCACHED_PORT = 11_211;

export function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 65_536);
  return ~sum & 0xffff;
}

function frame(protocol: number, payload: Buffer, toServer: boolean, id: number): Buffer {
  const ip = Buffer.alloc(20);
  ip[0] = 0x45;
  ip.writeUInt16BE(20 + payload.length, 2);
  ip.writeUInt16BE(id, 4);
  ip.writeUInt16BE(0x4000, 6);
  ip[8] = 64;
  ip[9] = protocol;
  ip.set(toServer ? CLIENT : SERVER, 12);
  ip.set(toServer ? SERVER : CLIENT, 16);
  ip.writeUInt16BE(checksum(ip), 10);
  const ethernet = Buffer.from([2, 0, 0, 0, 0, toServer ? 2 : 1, 2, 0, 0, 0, 0, toServer ? 1 : 2, 8, 0]);
  return Buffer.concat([ethernet, ip, payload]);
}

export type UdpOptions = {
  port?: number;
  id?: number;
  sequence?: number;
  count?: number;
  toServer?: boolean;
  ipId?: number;
};

export function udp(text: string | Uint8Array, options: UdpOptions = {}): Buffer {
  const { port = 5_555, id = 0x1234, sequence = 0, count = 1, toServer = true, ipId = 7 } = options;
  const body = typeof text === "string" ? Buffer.from(text, "latin1") : text;
  const header = Buffer.alloc(16);
  header.writeUInt16BE(toServer ? port : MEMCACHED_PORT, 0);
  header.writeUInt16BE(toServer ? MEMCACHED_PORT : port, 2);
  header.writeUInt16BE(16 + body.length, 4);
  header.writeUInt16BE(id, 8);
  header.writeUInt16BE(sequence, 10);
  header.writeUInt16BE(count, 12);
  return frame(17, Buffer.concat([header, body]), toServer, ipId);
}

export type TcpOptions = { port?: number; flags?: number; toServer?: boolean };

export function tcp(text: string, sequence: number, options: TcpOptions = {}): Buffer {
  const { port = 6_666, flags = 0x18, toServer = true } = options;
  const header = Buffer.alloc(20);
  header.writeUInt16BE(toServer ? port : MEMCACHED_PORT, 0);
  header.writeUInt16BE(toServer ? MEMCACHED_PORT : port, 2);
  header.writeUInt32BE(sequence >>> 0, 4);
  header[12] = 0x50;
  header[13] = flags;
  return frame(6, Buffer.concat([header, Buffer.from(text, "latin1")]), toServer, 7);
}

/** A client's reading of a reply frame: its memcached text, after checking lengths, checksum and addresses. */
export function replyText(packet: Buffer, id = 0x1234): string {
  const faults = [
    packet.readUInt16BE(16) === packet.length - 14 || "IP length",
    checksum(packet.subarray(14, 34)) === 0 || "IP checksum",
    packet.readUInt16BE(38) === packet.length - 34 || "UDP length",
    packet.readUInt16BE(40) === 0 || "UDP checksum",
    packet.readUInt16BE(34) === MEMCACHED_PORT || "source port",
    packet.subarray(26, 30).equals(Buffer.from(SERVER)) || "source address",
    packet.subarray(30, 34).equals(Buffer.from(CLIENT)) || "target address",
    packet.readUInt16BE(42) === id || "request id",
    packet.readUInt32BE(44) === 1 || "sequence and count",
  ].filter((fault) => fault !== true);
  if (faults.length > 0) throw new Error(`bad reply: ${faults.join(", ")}`);
  return packet.subarray(50).toString("latin1");
}
