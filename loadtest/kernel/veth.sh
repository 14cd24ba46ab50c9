#!/bin/sh
# The committed memcached.bpf.o in the real kernel: a veth pair between two network namespaces of its own,
# Debian's memcached behind it, rx_filter at generic XDP and tx_filter at tc egress. Asks for one key, writes
# it, asks again, and prints the programs' counters. Needs root, iproute2, bpftool, memcached, nc, xxd.
set -eu
object=$(cd "$(dirname "$0")/../../src/programs" && pwd)/memcached.bpf.o
id=bmc$$
pins=/sys/fs/bpf/$id
server=
cleanup() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  ip netns del "$id-s" 2>/dev/null || true
  ip netns del "$id-c" 2>/dev/null || true
  rm -rf "$pins"
}
trap cleanup EXIT INT TERM

ip netns add "$id-s"
ip netns add "$id-c"
ip link add veth0 netns "$id-s" type veth peer name veth1 netns "$id-c"
ip -n "$id-s" addr add 10.77.0.1/24 dev veth0
ip -n "$id-c" addr add 10.77.0.2/24 dev veth1
for end in s:lo s:veth0 c:lo c:veth1; do ip -n "$id-${end%:*}" link set "${end#*:}" up; done

# nsenter, not `ip netns exec`: that mounts a /sys of its own, without our pins.
bpftool prog loadall "$object" "$pins" pinmaps "$pins/maps" 2>/dev/null
nsenter --net="/run/netns/$id-s" bpftool net attach xdpgeneric pinned "$pins/rx_filter" dev veth0
nsenter --net="/run/netns/$id-s" tc qdisc add dev veth0 clsact
nsenter --net="/run/netns/$id-s" tc filter add dev veth0 egress bpf direct-action object-pinned "$pins/tx_filter"
nsenter --net="/run/netns/$id-s" memcached -u nobody -l 10.77.0.1 -p 11211 -U 11211 &
server=$!
sleep 1

tcp() { printf "$1" | nsenter --net="/run/netns/$id-c" nc -w 1 -q 1 10.77.0.1 11211; }
udp() { printf "\0\1\0\0\0\1\0\0$1" | nsenter --net="/run/netns/$id-c" nc -u -w 1 10.77.0.1 11211 | tail -c +9; }
expect() {
  [ "$2" = "$3" ] || { printf 'FAILED: %s\n got: %s\nwant: %s\n' "$1" "$2" "$3" >&2; exit 1; }
  echo "ok: $1"
}
item() { printf 'VALUE k 0 %s\r\n%s\r\nEND\r\n' "${#1}" "$1"; }

tcp 'set k 0 0 3\r\none\r\n' >/dev/null
sleep 0.2
expect 'a miss is answered by memcached' "$(udp 'get k\r\n')" "$(item one)"
expect 'and learned' "$(udp 'get k\r\n')" "$(item one)"
tcp 'set k 0 0 5\r\nthree\r\n' >/dev/null
sleep 0.2
expect 'a write over TCP is seen' "$(udp 'get k\r\n')" "$(item three)"
expect 'and the new value learned' "$(udp 'get k\r\n')" "$(item three)"
# u64 counters 16..23 of each CPU's value, summed.
bpftool -j map dump pinned "$pins/maps/stats" | python3 -c '
import json, sys
cpus = [bytes(int(b, 16) for b in cpu["value"]) for cpu in json.load(sys.stdin)[0]["values"]]
names = "get_recv set_recv get_resp hit miss hit_misprediction update invalidation".split()
got = {n: sum(int.from_bytes(c[8 * i : 8 * i + 8], "little") for c in cpus) for i, n in enumerate(names, 16)}
print(got)
sys.exit(0 if got["hit"] == 2 and got["miss"] == 2 and got["update"] == 2 else "counters differ from 2 hits, 2 misses, 2 updates")'
