/** Maps of maps, and maps whose look-up finds something else than a value. Recorded from Linux 6.18 as in cases.ts. */
import { type Case, no, ok } from "./case.ts";

const INNER = ".map in hash key=8 value=48 entries=4";
const LOCKED = `${INNER} lock=0`;
const PERCPU = ".map in percpu_array value=48 entries=4";
const OUTERS = ["array_of_maps key=4 entries=4", "hash_of_maps key=8 entries=4"] as const;
const [ARRAY, HASH] = OUTERS;

/** A look-up in m with the zeros at fp-8 as key. */
const LOOKUP = "r2 = r10\nr2 += -8\ncall bpf_map_lookup_elem";
const IN_OUTER = `*(u64 *)(r10 - 8) = 0\nr1 = m ll\n${LOOKUP}`;
/** r0: the map inside. */
const outer = (body: string, { map = ARRAY as string, inner = INNER, type = "xdp" } = {}) =>
  `.type ${type}\n${inner}\n.map m ${map} inner=in\n${IN_OUTER}\n${body}\nout: r0 = 0\nexit`;
const CHECKED = "if r0 == 0 goto out";
/** r0: the value in the map inside. */
const IN_INNER = `${CHECKED}\nr1 = r0\n${LOOKUP}`;
const inner = (body: string, more: Parameters<typeof outer>[1] = {}) =>
  outer(`${IN_INNER}\n${CHECKED}\n${body}`, more);
/** A look-up by a key that is known, and what was found used unchecked. */
const KNOWN_KEY = (map: string, key = 0) =>
  `${CHECKED}\n${map}\n*(u32 *)(r10 - 16) = ${key}\nr2 = r10\nr2 += -16\ncall bpf_map_lookup_elem\nr1 = *(u8 *)(r0 + 0)`;
const call = (helper: string, more = "") =>
  outer(`r1 = m ll\nr2 = r10\nr2 += -8\nr3 = r10\nr3 += -8\nr4 = 0\n${more}\ncall bpf_${helper}`);

/** r6, r7: two look-ups in the outer map. */
const TWICE = `r6 = r0\n${IN_OUTER}\nif r6 == 0 goto out\n${CHECKED}\nr7 = r0`;
/** r6, r7: values of the same key in the two. */
const TWO_VALUES = `${TWICE}\nr1 = r6\n${LOOKUP}\n${CHECKED}\nr6 = r0\nr1 = r7\n${LOOKUP}\n${CHECKED}\nr7 = r0`;
const LOCK = (reg: string) => `r1 = ${reg}\ncall bpf_spin_lock`;
const UNLOCK = (reg: string) => `r1 = ${reg}\ncall bpf_spin_unlock`;

const found = (map: string, body: string, type = "xdp") => `.type ${type}\n.map m ${map}
*(u64 *)(r10 - 8) = 0\nr1 = m ll\n${LOOKUP}\n${body}\nout: r0 = 0\nexit`;
const XSK = "xskmap key=4 value=4 entries=4";
const SOCKMAP = "sockmap key=4 value=4 entries=4";
const RELEASE = "r1 = r0\ncall bpf_sk_release";

export const MAP_OF_MAPS_CASES: readonly Case[] = [
  ...OUTERS.flatMap((map) => [
    ok(`${map}: a value in the map inside`, inner("r1 = 1\n*(u32 *)(r0 + 44) = r1", { map })),
    no(
      `${map}: beyond a value in the map inside`,
      "invalid access to map value, value_size=48 off=48 size=1",
      inner("r1 = *(u8 *)(r0 + 48)", { map }),
    ),
    no(
      `${map}: the map inside, unchecked`,
      "R1 type=map_value_or_null expected=map_ptr",
      outer(`r1 = r0\n${LOOKUP}`, { map }),
    ),
    no(
      `${map}: a value in the map inside, unchecked`,
      "R0 invalid mem access 'map_value_or_null'",
      outer(`${IN_INNER}\nr1 = *(u8 *)(r0 + 0)`, { map }),
    ),
  ]),
  ...["tc", "sk_skb", "socket_filter"].map((type) =>
    ok(`map of maps: for ${type}`, inner("r1 = *(u8 *)(r0 + 0)", { type })),
  ),
  ok(
    "map of maps: update and delete inside",
    outer(
      `${CHECKED}\nr6 = r0\nr1 = r0\nr2 = r10\nr2 += -8\nr3 = r10\nr3 += -48\n*(u64 *)(r10 - 16) = 0\nr4 = 0\ncall bpf_map_update_elem\nr1 = r6\nr2 = r10\nr2 += -8\ncall bpf_map_delete_elem`,
    ),
  ),
  no("map of maps: an element updated", "cannot pass map_type 12 into func", call("map_update_elem")),
  no("map of maps: an element deleted", "cannot pass map_type 12 into func", call("map_delete_elem")),
  no("map of maps: pushed on", "cannot pass map_type 12 into func", call("map_push_elem")),
  no("map of maps: popped", "cannot pass map_type 12 into func", call("map_pop_elem")),
  no(
    "map of maps: per CPU",
    "cannot pass map_type 13 into func",
    outer("r1 = m ll\nr2 = r10\nr2 += -8\nr3 = 0\ncall bpf_map_lookup_percpu_elem", { map: HASH }),
  ),
  no(
    "map of maps: redirect through it",
    "cannot pass map_type 12 into func",
    outer("r1 = m ll\nr2 = 0\nr3 = 0\ncall bpf_redirect_map"),
  ),
  no(
    "map of maps: tail call through it",
    "expected prog array map for tail call",
    outer("r1 = r6\nr2 = m ll\nr3 = 0\ncall bpf_tail_call").replace("xdp\n", "xdp\nr6 = r1\n"),
  ),
  no(
    "map of maps: the map inside written",
    "only read from bpf_htab is supported",
    outer(`${CHECKED}\n*(u8 *)(r0 + 0) = 1`),
  ),
  no(
    "map of maps: before the map inside",
    "R0 is bpf_htab invalid negative access: off=-8",
    outer(`${CHECKED}\nr1 = *(u64 *)(r0 - 8)`),
  ),
  no(
    "map of maps: the outer map written",
    "only read from bpf_array is supported",
    outer("r1 = m ll\n*(u64 *)(r1 + 0) = 1"),
  ),
  no(
    "map of maps: an atomic on the map inside",
    "only read from bpf_htab is supported",
    outer(`${CHECKED}\nr1 = 1\nlock *(u64 *)(r0 + 0) += r1`),
  ),
  no(
    "map of maps: what was found, moved unchecked",
    "R0 pointer arithmetic on map_value_or_null prohibited, null-check it first",
    outer("r0 += 8"),
  ),
  no(
    "map of maps: the map inside moved",
    "R0 pointer arithmetic on map_ptr prohibited",
    outer(`${CHECKED}\nr0 += 8`),
  ),
  ok("map of maps: the map inside moved by 0", outer(`${CHECKED}\nr0 += 0\nr1 = r0\n${LOOKUP}`)),
  ok(
    "map of maps: the map inside spilled and filled",
    outer(`${CHECKED}\n*(u64 *)(r10 - 16) = r0\nr1 = *(u64 *)(r10 - 16)\n${LOOKUP}`),
  ),
  ok(
    "map of maps: spilled unchecked, checked by another copy",
    outer(`*(u64 *)(r10 - 16) = r0\n${CHECKED}\nr1 = *(u64 *)(r10 - 16)\n${LOOKUP}`),
  ),
  no(
    "map of maps: checked by another look-up",
    "R1 type=map_value_or_null expected=map_ptr",
    outer(`r6 = r0\n${IN_OUTER}\n${CHECKED}\nr1 = r6\n${LOOKUP}`),
  ),
  ok(
    "map of maps: the map inside stored in a value, by root",
    inner("*(u64 *)(r0 + 8) = r6").replace(IN_INNER, `${CHECKED}\nr6 = r0\nr1 = r0\n${LOOKUP}`),
  ),
  no(
    "map of maps: the map inside loaded from a value",
    "R1 type=scalar expected=map_ptr",
    inner(`*(u64 *)(r0 + 8) = r6\nr1 = *(u64 *)(r0 + 8)\n${LOOKUP}`).replace(
      IN_INNER,
      `${CHECKED}\nr6 = r0\nr1 = r0\n${LOOKUP}`,
    ),
  ),
  no(
    "map of maps: the map inside as memory",
    "R1 type=map_ptr expected=fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf",
    outer(`${CHECKED}\nr1 = r0\nr2 = 8\ncall bpf_get_current_comm`),
  ),
  no(
    "map of maps: the map inside as key",
    "R2 type=map_ptr expected=fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf",
    outer(`${CHECKED}\nr2 = r0\nr1 = m ll\ncall bpf_map_lookup_elem`),
  ),
  ok("map of maps: the map inside returned by root", outer(`${CHECKED}\nexit`)),
  ok(
    "map of maps: the map inside compared with the outer",
    outer(`${CHECKED}\nr1 = m ll\nif r0 == r1 goto out`),
  ),
  ok(
    "map of maps: one of two maps inside",
    outer(`${TWICE}\ncall bpf_get_prandom_u32\nif r0 == 0 goto other\nr7 = r6\nother: r1 = r7\n${LOOKUP}`),
  ),
  ok(
    "map of maps: the map inside or the one it is like",
    outer(
      `${CHECKED}\nr7 = r0\ncall bpf_get_prandom_u32\nif r0 == 0 goto other\nr7 = in ll\nother: r1 = r7\n${LOOKUP}`,
    ),
  ),
  no(
    "map of maps: a known key may miss",
    "R1 type=map_value_or_null expected=map_ptr",
    outer(`${CHECKED}\n${KNOWN_KEY("r1 = m ll").replace("r1 = *(u8 *)(r0 + 0)", `r1 = r0\n${LOOKUP}`)}`),
  ),
  ok(
    "map of maps: a known key in an array inside",
    outer(KNOWN_KEY("r1 = r0"), { inner: ".map in array value=48 entries=4" }),
  ),
  ok("map of maps: a known key in a per-CPU array inside", outer(KNOWN_KEY("r1 = r0"), { inner: PERCPU })),
  no(
    "an array that may stand in another's place: a known key may miss",
    "R0 invalid mem access 'map_value_or_null'",
    `.type xdp\n.map m array value=48 entries=4 flags=0x1000\nr0 = 1\n${KNOWN_KEY("r1 = m ll")}\n out: r0 = 0\nexit`,
  ),
  no(
    "map of maps: a known key in an array inside of any size",
    "R0 invalid mem access 'map_value_or_null'",
    outer(KNOWN_KEY("r1 = r0"), { inner: ".map in array value=48 entries=4 flags=0x1000" }),
  ),
  no(
    "map of maps: a key beyond the array inside",
    "R0 invalid mem access 'map_value_or_null'",
    outer(KNOWN_KEY("r1 = r0", 4), { inner: ".map in array value=48 entries=4" }),
  ),
  no(
    "map of maps: a value in a read-only array inside written",
    "write into map forbidden",
    inner("*(u8 *)(r0 + 0) = 1", { inner: ".map in array value=48 entries=4 readonly" }),
  ),
  // Locks
  ok(
    "map of maps: a lock in the map inside",
    inner(`r6 = r0\n${LOCK("r6")}\n${UNLOCK("r6")}`, { inner: LOCKED }),
  ),
  ok(
    "map of maps: a lock of a socket filter",
    inner(`r6 = r0\n${LOCK("r6")}\n${UNLOCK("r6")}`, { inner: LOCKED, type: "socket_filter" }),
  ),
  no(
    "map of maps: the lock of one map, the unlock of another",
    "bpf_spin_unlock of different lock",
    outer(`${TWO_VALUES}\n${LOCK("r6")}\n${UNLOCK("r7")}`, { inner: LOCKED }),
  ),
  no(
    "map of maps: the locks of two maps",
    "function calls are not allowed while holding a lock",
    outer(`${TWO_VALUES}\n${LOCK("r6")}\n${LOCK("r7")}`, { inner: LOCKED }),
  ),
  no(
    "map of maps: a lock read",
    "bpf_spin_lock cannot be accessed directly by load/store",
    inner("r1 = *(u32 *)(r0 + 0)", { inner: LOCKED }),
  ),
  // Other maps inside
  ok(
    "map of maps: a ring buffer inside",
    outer(`${CHECKED}\nr1 = r0\nr2 = r10\nr2 += -8\nr3 = 8\nr4 = 0\ncall bpf_ringbuf_output`, {
      inner: ".map in ringbuf key=0 value=0 entries=4096",
    }),
  ),
  ok(
    "map of maps: a queue inside",
    outer(`${CHECKED}\nr1 = r0\nr2 = r10\nr2 += -8\nr3 = 0\ncall bpf_map_push_elem`, {
      inner: ".map in queue key=0 value=8 entries=4",
    }),
  ),
  no(
    "map of maps: a look-up in a queue inside",
    "invalid zero-sized read",
    outer(IN_INNER, { inner: ".map in queue key=0 value=8 entries=4" }),
  ),
  ok(
    "map of maps: redirect through a devmap inside",
    outer(`${CHECKED}\nr1 = r0\nr2 = 0\nr3 = 0\ncall bpf_redirect_map`, {
      inner: ".map in devmap key=4 value=4 entries=4",
    }),
  ),
  ok(
    "map of maps: a socket in a map inside",
    outer(`${IN_INNER}\n${CHECKED}\n${RELEASE}`, { inner: `.map in ${SOCKMAP}` }),
  ),
  no(
    "map of maps: a socket in a map inside kept",
    "Unreleased reference id=",
    outer(`${IN_INNER}\n${CHECKED}`, { inner: `.map in ${SOCKMAP}` }),
  ),
  // What a look-up finds
  ok("xskmap: look-up", found(XSK, `${CHECKED}\nr1 = *(u32 *)(r0 + 0)`)),
  ok("xskmap: look-up from tc", found(XSK, `${CHECKED}\nr1 = *(u32 *)(r0 + 0)`, "tc")),
  no(
    "xskmap: a socket unchecked",
    "R0 invalid mem access 'map_value_or_null'",
    found(XSK, "r1 = *(u32 *)(r0 + 0)"),
  ),
  no(
    "xskmap: beyond a socket",
    "R0 invalid xdp_sock access off=4 size=4",
    found(XSK, `${CHECKED}\nr1 = *(u32 *)(r0 + 4)`),
  ),
  no(
    "xskmap: half a socket's queue",
    "R0 invalid xdp_sock access off=0 size=2",
    found(XSK, `${CHECKED}\nr1 = *(u16 *)(r0 + 0)`),
  ),
  no(
    "xskmap: a socket written",
    "R0 cannot write into xdp_sock",
    found(XSK, `${CHECKED}\n*(u32 *)(r0 + 0) = 1`),
  ),
  no(
    "xskmap: a socket moved",
    "R0 pointer arithmetic on xdp_sock prohibited",
    found(XSK, `${CHECKED}\nr0 += 4`),
  ),
  no(
    "xskmap: an atomic on a socket",
    "BPF_ATOMIC stores into R0 xdp_sock is not allowed",
    found(XSK, `${CHECKED}\nr1 = 1\nlock *(u32 *)(r0 + 0) += r1`),
  ),
  no(
    "xskmap: a socket released, which nobody holds",
    "R1 must be referenced when passed to release function",
    found(XSK, `${CHECKED}\n${RELEASE}`),
  ),
  ok("xskmap: a socket as another type of it", found(XSK, `${CHECKED}\nr1 = r0\ncall bpf_skc_to_tcp6_sock`)),
  no(
    "xskmap: an element updated",
    "cannot pass map_type 17 into func",
    found(XSK, "r1 = m ll\nr2 = r10\nr2 += -8\nr3 = r2\nr4 = 0\ncall bpf_map_update_elem"),
  ),
  ok("sockmap: a socket found and released", found(SOCKMAP, `${CHECKED}\n${RELEASE}`)),
  no(
    "sockmap: a socket unchecked",
    "R0 invalid mem access 'map_value_or_null'",
    found(SOCKMAP, "r1 = *(u32 *)(r0 + 0)"),
  ),
  no("sockmap: a socket kept", "Unreleased reference id=", found(SOCKMAP, CHECKED)),
  ok("sockmap: a socket read", found(SOCKMAP, `${CHECKED}\nr1 = *(u32 *)(r0 + 4)\n${RELEASE}`)),
  no(
    "null check by another pointer: of the one compared only",
    "R6 invalid mem access 'map_value_or_null'",
    found("hash key=8 value=8 entries=4", "r6 = r0\nr1 = r10\nif r0 != r1 goto out\nr1 = *(u8 *)(r6 + 0)"),
  ),
  ok(
    "null check by another pointer",
    found("hash key=8 value=8 entries=4", "r1 = r10\nif r0 != r1 goto out\nr1 = *(u8 *)(r0 + 0)"),
  ),
  ok(
    "null check by another pointer: a map inside",
    outer(`r1 = r10\nif r0 != r1 goto out\nr1 = r0\n${LOOKUP}`),
  ),
];
