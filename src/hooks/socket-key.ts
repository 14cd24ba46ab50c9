/**
 * A TCP connection as sk_skb programs see it: fields of __sk_buff, and struct sock_key of http_kv.bpf.c,
 * the key of its socket map. IPv4 addresses are IPv4-mapped IPv6 ones in the key.
 */
import { isIPv6, type Socket } from "node:net";

export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_KEY_BYTES = 24;

export type SocketIdentity = {
  /** As `family` of __sk_buff. */
  readonly family: number;
  /** As the program builds it: 16 bytes of address, remote port, local port. */
  readonly key: Uint8Array;
  /** The same as little-endian words: what the context's u32 fields hold. */
  readonly words: Uint32Array;
};

export function identify(socket: Socket): SocketIdentity {
  const address = socket.remoteAddress ?? "0.0.0.0";
  const key = new Uint8Array(SOCK_KEY_BYTES);
  const mapped = /^(?:::ffff:)?(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped) {
    key[10] = 0xff;
    key[11] = 0xff;
    key.set(mapped[1]!.split(".").map(Number), 12);
  } else if (isIPv6(address.replace(/%.*/, ""))) key.set(ipv6Bytes(address.replace(/%.*/, "")));
  const view = new DataView(key.buffer);
  view.setUint32(16, socket.remotePort ?? 0, false); // network order, as __sk_buff has it
  view.setUint32(20, socket.localPort ?? 0, true); // host order
  return { family: mapped ? AF_INET : AF_INET6, key, words: new Uint32Array(key.buffer) };
}

function ipv6Bytes(address: string): number[] {
  const [head = "", tail] = address.split("::", 2);
  const groups = (text: string) => (text === "" ? [] : text.split(":").map((g) => Number.parseInt(g, 16)));
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const zeros = Array<number>(Math.max(0, 8 - left.length - right.length)).fill(0);
  return [...left, ...zeros, ...right].flatMap((group) => [group >> 8, group & 0xff]);
}
