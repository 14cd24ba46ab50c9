/**
 * memcached's UDP frame: 8 bytes before the payload of each datagram (protocol.txt, "UDP protocol").
 *   0..1 request id   2..3 sequence number   4..5 datagrams of the message   6..7 reserved, 0   big-endian
 */
export const FRAME_BYTES = 8;
/** Of a reply datagram, header included (memcached's UDP_MAX_PAYLOAD_SIZE): fits an Ethernet frame. */
export const DATAGRAM_MAX_BYTES = 1_400;
export const PAYLOAD_MAX_BYTES = DATAGRAM_MAX_BYTES - FRAME_BYTES;

/** @returns the request id, or -1 where memcached drops: too short, empty, or one of several datagrams */
export function requestId(datagram: Uint8Array): number {
  if (datagram.length <= FRAME_BYTES) return -1;
  // memcached looks at the datagram count only; a sequence number over it is let through.
  if (datagram[4] !== 0 || datagram[5] !== 1) return -1;
  return (datagram[0]! << 8) | datagram[1]!;
}

export function writeFrame(into: Uint8Array, id: number, sequence: number, total: number): void {
  into[0] = id >> 8;
  into[1] = id & 255;
  into[2] = (sequence >> 8) & 255;
  into[3] = sequence & 255;
  into[4] = (total >> 8) & 255;
  into[5] = total & 255;
  into[6] = 0;
  into[7] = 0;
}
