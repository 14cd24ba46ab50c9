/**
 * What a program may read of the sockets Linux shows it: struct bpf_sock, the part of it that every socket
 * has (sock_common), struct bpf_tcp_sock and struct bpf_xdp_sock (Linux UAPI). `parts`: bytes and half words of the field too,
 * at its start or anywhere in it; a test walks every offset and width against the running kernel.
 */
type SocketField = {
  readonly name: string;
  readonly offset: number;
  readonly bytes: 2 | 4 | 8 | 16;
  readonly parts?: "first" | "any";
  /** Full sockets only. */
  readonly full?: true;
};

const BPF_SOCK: readonly SocketField[] = [
  { name: "bound_dev_if", offset: 0, bytes: 4 },
  { name: "family", offset: 4, bytes: 4, parts: "first" },
  { name: "type", offset: 8, bytes: 4, parts: "first", full: true },
  { name: "protocol", offset: 12, bytes: 4, parts: "first", full: true },
  { name: "mark", offset: 16, bytes: 4, full: true },
  { name: "priority", offset: 20, bytes: 4, full: true },
  { name: "src_ip4", offset: 24, bytes: 4, parts: "any" },
  { name: "src_ip6", offset: 28, bytes: 16, parts: "any" },
  { name: "src_port", offset: 44, bytes: 4, parts: "first" },
  { name: "dst_port", offset: 48, bytes: 2, parts: "any" },
  { name: "dst_port", offset: 48, bytes: 4 }, // as programs before Linux 5.18 read it
  { name: "dst_ip4", offset: 52, bytes: 4, parts: "any" },
  { name: "dst_ip6", offset: 56, bytes: 16, parts: "any" },
  { name: "state", offset: 72, bytes: 4, parts: "first" },
  { name: "rx_queue_mapping", offset: 76, bytes: 4, parts: "first" },
];

const TCP_WORDS =
  "snd_cwnd srtt_us rtt_min snd_ssthresh rcv_nxt snd_nxt snd_una mss_cache ecn_flags rate_delivered rate_interval_us packets_out retrans_out total_retrans segs_in data_segs_in segs_out data_segs_out lost_out sacked_out";
const BPF_TCP_SOCK: readonly SocketField[] = [
  ...TCP_WORDS.split(" ").map((name, i): SocketField => ({ name, offset: i * 4, bytes: 4 })),
  { name: "bytes_received", offset: 80, bytes: 8 },
  { name: "bytes_acked", offset: 88, bytes: 8 },
  ...["dsack_dups", "delivered", "delivered_ce", "icsk_retransmits"].map(
    (name, i): SocketField => ({ name, offset: 96 + i * 4, bytes: 4 }),
  ),
];

const BPF_XDP_SOCK: readonly SocketField[] = [{ name: "queue_id", offset: 0, bytes: 4 }];

const FIELDS = {
  sock: BPF_SOCK,
  sock_common: BPF_SOCK.filter(({ full }) => !full),
  tcp_sock: BPF_TCP_SOCK,
  xdp_sock: BPF_XDP_SOCK,
} as const;
export type SocketKind = keyof typeof FIELDS;

export function isSocketField(kind: SocketKind, off: number, size: number): boolean {
  if (off % size !== 0) return false;
  return FIELDS[kind].some(({ offset, bytes, parts }) => {
    if (off < offset || off + size > offset + bytes) return false;
    // An address of IPv6 is read in words, or in parts of one.
    const whole = bytes === 16 ? 4 : bytes;
    if (size === whole) return off === offset || parts === "any";
    return size < whole && (parts === "any" || (parts === "first" && off === offset));
  });
}
