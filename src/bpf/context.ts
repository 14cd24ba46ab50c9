/**
 * What a program gets in r1: the fields of struct xdp_md and struct __sk_buff (Linux UAPI), with who may
 * read and write them. The struct lies in linear memory exactly as a program sees it; `data` and friends
 * are addresses there, so no access needs rewriting. The verifier checks against this table, hooks fill
 * the struct by it.
 */
import type { ProgramType } from "./program.ts";

export type FieldType = "scalar" | "packet" | "packet_end" | "packet_meta";
export type ContextField = {
  readonly name: string;
  readonly offset: number;
  readonly bytes: 4 | 8;
  readonly type: FieldType;
  readonly read: readonly ProgramType[];
  readonly write: readonly ProgramType[];
};

const XDP = ["xdp"] as const;
const TC = ["tc"] as const;
const SK = ["sk_skb"] as const;
const TC_SK = ["tc", "sk_skb"] as const;
const SKB = ["tc", "sk_skb", "socket_filter"] as const;
const NONE = [] as const;

export const XDP_MD_BYTES = 24;
export const XDP_MD = [
  { name: "data", offset: 0, bytes: 4, type: "packet", read: XDP, write: NONE },
  { name: "data_end", offset: 4, bytes: 4, type: "packet_end", read: XDP, write: NONE },
  { name: "data_meta", offset: 8, bytes: 4, type: "packet_meta", read: XDP, write: NONE },
  { name: "ingress_ifindex", offset: 12, bytes: 4, type: "scalar", read: XDP, write: NONE },
  { name: "rx_queue_index", offset: 16, bytes: 4, type: "scalar", read: XDP, write: NONE },
  // egress_ifindex (20) is readable only by programs attached to a devmap: none here.
] as const satisfies readonly ContextField[];

export const SK_BUFF_BYTES = 192;
export const SK_BUFF = [
  { name: "len", offset: 0, bytes: 4, type: "scalar", read: SKB, write: NONE },
  { name: "pkt_type", offset: 4, bytes: 4, type: "scalar", read: SKB, write: NONE },
  { name: "mark", offset: 8, bytes: 4, type: "scalar", read: ["tc", "socket_filter"], write: TC },
  { name: "queue_mapping", offset: 12, bytes: 4, type: "scalar", read: SKB, write: TC },
  { name: "protocol", offset: 16, bytes: 4, type: "scalar", read: SKB, write: NONE },
  { name: "vlan_present", offset: 20, bytes: 4, type: "scalar", read: SKB, write: NONE },
  { name: "vlan_tci", offset: 24, bytes: 4, type: "scalar", read: SKB, write: NONE },
  { name: "vlan_proto", offset: 28, bytes: 4, type: "scalar", read: SKB, write: NONE },
  { name: "priority", offset: 32, bytes: 4, type: "scalar", read: SKB, write: TC_SK },
  { name: "ingress_ifindex", offset: 36, bytes: 4, type: "scalar", read: SKB, write: NONE },
  { name: "ifindex", offset: 40, bytes: 4, type: "scalar", read: SKB, write: NONE },
  { name: "tc_index", offset: 44, bytes: 4, type: "scalar", read: SKB, write: TC_SK },
  { name: "cb0", offset: 48, bytes: 4, type: "scalar", read: SKB, write: ["tc", "socket_filter"] },
  { name: "cb1", offset: 52, bytes: 4, type: "scalar", read: SKB, write: ["tc", "socket_filter"] },
  { name: "cb2", offset: 56, bytes: 4, type: "scalar", read: SKB, write: ["tc", "socket_filter"] },
  { name: "cb3", offset: 60, bytes: 4, type: "scalar", read: SKB, write: ["tc", "socket_filter"] },
  { name: "cb4", offset: 64, bytes: 4, type: "scalar", read: SKB, write: ["tc", "socket_filter"] },
  { name: "hash", offset: 68, bytes: 4, type: "scalar", read: SKB, write: NONE },
  { name: "tc_classid", offset: 72, bytes: 4, type: "scalar", read: TC, write: TC },
  { name: "data", offset: 76, bytes: 4, type: "packet", read: TC_SK, write: NONE },
  { name: "data_end", offset: 80, bytes: 4, type: "packet_end", read: TC_SK, write: NONE },
  { name: "napi_id", offset: 84, bytes: 4, type: "scalar", read: SKB, write: NONE },
  { name: "family", offset: 88, bytes: 4, type: "scalar", read: SK, write: NONE },
  { name: "remote_ip4", offset: 92, bytes: 4, type: "scalar", read: SK, write: NONE },
  { name: "local_ip4", offset: 96, bytes: 4, type: "scalar", read: SK, write: NONE },
  { name: "remote_ip6_0", offset: 100, bytes: 4, type: "scalar", read: SK, write: NONE },
  { name: "remote_ip6_1", offset: 104, bytes: 4, type: "scalar", read: SK, write: NONE },
  { name: "remote_ip6_2", offset: 108, bytes: 4, type: "scalar", read: SK, write: NONE },
  { name: "remote_ip6_3", offset: 112, bytes: 4, type: "scalar", read: SK, write: NONE },
  { name: "local_ip6_0", offset: 116, bytes: 4, type: "scalar", read: SK, write: NONE },
  { name: "local_ip6_1", offset: 120, bytes: 4, type: "scalar", read: SK, write: NONE },
  { name: "local_ip6_2", offset: 124, bytes: 4, type: "scalar", read: SK, write: NONE },
  { name: "local_ip6_3", offset: 128, bytes: 4, type: "scalar", read: SK, write: NONE },
  { name: "remote_port", offset: 132, bytes: 4, type: "scalar", read: SK, write: NONE },
  { name: "local_port", offset: 136, bytes: 4, type: "scalar", read: SK, write: NONE },
  { name: "data_meta", offset: 140, bytes: 4, type: "packet_meta", read: TC, write: NONE },
  { name: "tstamp", offset: 152, bytes: 8, type: "scalar", read: TC, write: TC },
  { name: "wire_len", offset: 160, bytes: 4, type: "scalar", read: TC, write: NONE },
  { name: "gso_segs", offset: 164, bytes: 4, type: "scalar", read: SKB, write: NONE },
  { name: "gso_size", offset: 176, bytes: 4, type: "scalar", read: SKB, write: NONE },
] as const satisfies readonly ContextField[];

/** Bytes of the context struct, by program type. */
export function contextBytes(type: ProgramType): number {
  return type === "xdp" ? XDP_MD_BYTES : SK_BUFF_BYTES;
}

export function contextFields(type: ProgramType): readonly ContextField[] {
  return type === "xdp" ? XDP_MD : SK_BUFF;
}

/** XDP verdicts (enum xdp_action). */
export const XDP_ACTION = { aborted: 0, drop: 1, pass: 2, tx: 3, redirect: 4 } as const;
/** sk_skb verdicts (enum sk_action). */
export const SK_ACTION = { drop: 0, pass: 1 } as const;
/** tc verdicts used here (TC_ACT_*). */
export const TC_ACTION = { unspec: -1, ok: 0, shot: 2, redirect: 7 } as const;
