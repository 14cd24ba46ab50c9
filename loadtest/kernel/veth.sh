#!/bin/sh
# The committed memcached objects in the real kernel and in the emulator, side by side. Kernel: a veth pair between
# two network namespaces of its own, Debian's memcached behind it, rx_filter at generic XDP and tx_filter at tc
# egress. Emulator: `bmc serve --memcached` with the same object. Both are asked the same conversation (script.mjs);
# reply bytes and counters are laid side by side, and a difference ends it with 1.
#   usage: veth.sh [direct|set|lru]     needs root, iproute2, bpftool, memcached, node, and `npm run build`
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
policy=${1:-direct}
case $policy in
  direct) object=memcached.bpf.o ;;
  set | lru) object=memcached_$policy.bpf.o ;;
  *) echo "veth.sh: policy '$policy': expected direct, set or lru" >&2; exit 2 ;;
esac
for tool in ip tc bpftool memcached node nsenter; do
  command -v "$tool" >/dev/null || { echo "veth.sh: $tool is missing" >&2; exit 2; }
done
[ "$(id -u)" = 0 ] || { echo "veth.sh: needs root" >&2; exit 2; }
[ -f "$root/dist/cli.js" ] || { echo "veth.sh: dist/cli.js is missing; run 'npm run build' first" >&2; exit 2; }

id=bmc$$
pins=/sys/fs/bpf/$id
out=$(mktemp -d)
server= emulator=
cleanup() {
  for child in $server $emulator; do
    kill "$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
  done
  ip netns del "$id-s" 2>/dev/null || true
  ip netns del "$id-c" 2>/dev/null || true
  rm -rf "$pins" "$out"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
# A busy machine takes its time to verify seven programs.
wait_for() {
  tries=0
  until "$@" >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 120 ] || { echo "veth.sh: no answer from: $*" >&2; exit 1; }
    sleep 1
  done
}

ip netns add "$id-s"
ip netns add "$id-c"
ip link add veth0 netns "$id-s" type veth peer name veth1 netns "$id-c"
ip -n "$id-s" addr add 10.77.0.1/24 dev veth0
ip -n "$id-c" addr add 10.77.0.2/24 dev veth1
for end in s:lo s:veth0 c:lo c:veth1; do ip -n "$id-${end%:*}" link set "${end#*:}" up; done

# nsenter, not `ip netns exec`: that mounts a /sys of its own, without our pins.
in_server() { nsenter --net="/run/netns/$id-s" "$@"; }
in_client() { nsenter --net="/run/netns/$id-c" "$@"; }
bpftool prog loadall "$root/src/programs/$object" "$pins" pinmaps "$pins/maps" 2>/dev/null
in_server bpftool net attach xdpgeneric pinned "$pins/rx_filter" dev veth0
in_server tc qdisc add dev veth0 clsact
in_server tc filter add dev veth0 egress bpf direct-action object-pinned "$pins/tx_filter"
nsenter --net="/run/netns/$id-s" memcached -u nobody -l 10.77.0.1 -p 11211 -U 11211 &
server=$!
# Asked from its own namespace: nothing passes the programs.
listens() { nsenter --net="/run/netns/$id-s" node -e 'require("net").connect(11211,"10.77.0.1").on("connect",()=>process.exit(0)).on("error",()=>process.exit(1))'; }
wait_for listens
in_client node "$here/script.mjs" 10.77.0.1 11211 >"$out/kernel.replies"
bpftool -j map dump pinned "$pins/maps/stats" >"$out/kernel.stats"

# As in the kernel: only replies teach the hot tier, and TCP is seen by the XDP and tc programs.
node "$root/dist/cli.js" serve --port 0 --memcached 127.0.0.1:0 --hot-policy "$policy" --hot-entries 16384 \
  --admission never --memcached-tcp-hook segments --costs-scale 0 --log-level error >"$out/banner" &
emulator=$!
wait_for grep -q 'memcached 127' "$out/banner"
port=$(sed -n 's/^ *memcached 127\.0\.0\.1:\([0-9]*\),.*/\1/p' "$out/banner")
node "$here/script.mjs" 127.0.0.1 "$port" >"$out/emulator.replies"
node -e 'const s=require("net").connect(+process.argv[1],"127.0.0.1",()=>s.write("stats bmc\r\nquit\r\n"));s.pipe(process.stdout)' \
  "$port" >"$out/emulator.stats"
echo "policy $policy, $object"
node "$here/compare.mjs" "$out"
