/** Maps Linux has and this machine has not. Recorded from Linux 6.18 as in cases.ts. */
import { type Case, no, ok } from "./case.ts";

const RING = ".map m ringbuf key=0 value=0 entries=4096";
const reserve = (body: string, size = "r2 = 16", type = "xdp") =>
  `.type ${type}\n${RING}\n${size}\nr1 = m ll\nr3 = 0\ncall bpf_ringbuf_reserve\n${body}\nout: r0 = 0\nexit`;
const SUBMIT = "r1 = r0\nr2 = 0\ncall bpf_ringbuf_submit";
const keyed = (map: string, helper: string, after = "", type = "xdp") => `.type ${type}\n.map m ${map}
*(u64 *)(r10 - 8) = 0\nr2 = r10\nr2 += -8\nr1 = m ll\nr3 = 0\ncall bpf_${helper}\n${after}\nout: r0 = 0\nexit`;
const redirect = (map: string) =>
  `.type xdp\n.map m ${map}\nr1 = m ll\nr2 = 0\nr3 = 0\ncall bpf_redirect_map\nexit`;
const unset = (map: string, helper: string) =>
  `.type tc\n.map m ${map}\nr2 = r10\nr2 += -8\nr1 = m ll\ncall bpf_${helper}\nr0 = *(u64 *)(r10 - 8)\nexit`;
const perf = (map: string, type: string) => `.type ${type}\n.map m ${map}
*(u64 *)(r10 - 8) = 0\nr2 = m ll\nr3 = 0\nr4 = r10\nr4 += -8\nr5 = 8\ncall bpf_perf_event_output\nr0 = 0\nexit`;

const PERF = "perf_event_array key=4 value=4 entries=4";
const DEVMAP = "devmap key=4 value=4 entries=4";
const DEVMAP_HASH = "devmap_hash key=4 value=8 entries=4";
const CPUMAP = "cpumap key=4 value=4 entries=4";
const XSKMAP = "xskmap key=4 value=4 entries=4";
const QUEUE = "queue key=0 value=8 entries=4";
const STACK = "stack key=0 value=8 entries=4";
const BLOOM = "bloom_filter key=0 value=8 entries=4";
const TRIE = "lpm_trie key=8 value=8 entries=4 flags=1";
const LRU = "lru_percpu_hash key=8 value=8 entries=4";
const USED = "if r0 == 0 goto out\nr1 = 1\n*(u32 *)(r0 + 0) = r1";

export const FOREIGN_MAP_CASES: readonly Case[] = [
  ok("ringbuf: a record submitted", reserve(`if r0 == 0 goto out\n*(u64 *)(r0 + 8) = 1\n${SUBMIT}`)),
  ok(
    "ringbuf: a record discarded",
    reserve("if r0 == 0 goto out\nr1 = r0\nr2 = 0\ncall bpf_ringbuf_discard", "r2 = 16", "tc"),
  ),
  no("ringbuf: a record kept", "Unreleased reference id=", reserve("if r0 == 0 goto out")),
  no(
    "ringbuf: a record unchecked",
    "R0 invalid mem access 'ringbuf_mem_or_null'",
    reserve("*(u8 *)(r0 + 0) = 1"),
  ),
  no("ringbuf: NULL submitted", "R1 type=ringbuf_mem_or_null expected=ringbuf_mem", reserve(SUBMIT)),
  no(
    "ringbuf: beyond a record",
    "invalid access to memory, mem_size=16 off=16 size=1",
    reserve(`if r0 == 0 goto out\n*(u8 *)(r0 + 16) = 1\n${SUBMIT}`),
  ),
  no(
    "ringbuf: before a record",
    "R0 min value is outside of the allowed memory range",
    reserve(`if r0 == 0 goto out\n*(u8 *)(r0 - 1) = 1\n${SUBMIT}`),
  ),
  no(
    "ringbuf: a record submitted by its middle",
    "R1 must have zero offset when passed to release func",
    reserve(`if r0 == 0 goto out\nr0 += 8\n${SUBMIT}`),
  ),
  no(
    "ringbuf: a record used after it was submitted",
    "R6 invalid mem access 'scalar'",
    reserve(`if r0 == 0 goto out\nr6 = r0\n${SUBMIT}\n*(u8 *)(r6 + 0) = 1`),
  ),
  no(
    "ringbuf: a record of a size not known",
    "R2 is not a known constant",
    reserve(`if r0 == 0 goto out\n${SUBMIT}`, "call bpf_get_prandom_u32\nr2 = r0"),
  ),
  no(
    "ringbuf: the stack submitted",
    "R1 type=fp expected=ringbuf_mem",
    reserve("r1 = r10\nr2 = 0\ncall bpf_ringbuf_submit"),
  ),
  ok(
    "ringbuf: a record as a helper's memory",
    reserve(`if r0 == 0 goto out\nr6 = r0\nr1 = r0\nr2 = 16\ncall bpf_get_current_comm\nr0 = r6\n${SUBMIT}`),
  ),
  ok(
    "ringbuf: output",
    `.type xdp\n${RING}\n*(u64 *)(r10 - 8) = 0\nr2 = r10\nr2 += -8\nr1 = m ll\nr3 = 8\nr4 = 0\ncall bpf_ringbuf_output\nr0 = 0\nexit`,
  ),
  ok("ringbuf: query", `.type xdp\n${RING}\nr1 = m ll\nr2 = 0\ncall bpf_ringbuf_query\nr0 = 0\nexit`),
  no(
    "ringbuf: look-up",
    "invalid zero-sized read",
    keyed("ringbuf key=0 value=0 entries=4096", "map_lookup_elem"),
  ),
  no(
    "ringbuf: reserve from a hash",
    "cannot pass map_type 1 into func bpf_ringbuf_reserve#131",
    reserve("").replace("ringbuf key=0 value=0 entries=4096", "hash key=8 value=8 entries=4"),
  ),
  ok("perf_event_array: output from xdp", perf(PERF, "xdp")),
  ok("perf_event_array: output from tc", perf(PERF, "tc")),
  no("perf_event_array: look-up", "cannot pass map_type 4 into func", keyed(PERF, "map_lookup_elem")),
  no(
    "perf_event output into an array",
    "cannot pass map_type 2 into func",
    perf("array key=4 value=4 entries=4", "xdp"),
  ),
  ...[DEVMAP, DEVMAP_HASH, CPUMAP, XSKMAP].map((map) => ok(`redirect through ${map}`, redirect(map))),
  no(
    "redirect through an array",
    "cannot pass map_type 2 into func",
    redirect("array key=4 value=4 entries=4"),
  ),
  ok("devmap: look-up", keyed(DEVMAP, "map_lookup_elem", "if r0 == 0 goto out\nr1 = *(u32 *)(r0 + 0)")),
  no(
    "devmap: value written",
    "write into map forbidden, value_size=4 off=0 size=4",
    keyed(DEVMAP, "map_lookup_elem", USED),
  ),
  no("devmap_hash: element deleted", "write into map forbidden", keyed(DEVMAP_HASH, "map_delete_elem")),
  no("cpumap: look-up", "cannot pass map_type 16 into func", keyed(CPUMAP, "map_lookup_elem")),
  ...[QUEUE, STACK].flatMap((map) => [
    ok(`push on ${map}`, keyed(map, "map_push_elem")),
    ok(`pop of ${map}`, unset(map, "map_pop_elem")),
    ok(`peek at ${map}`, unset(map, "map_peek_elem")),
    no(`look-up in ${map}`, "invalid zero-sized read", keyed(map, "map_lookup_elem")),
  ]),
  ok("bloom_filter: push", keyed(BLOOM, "map_push_elem")),
  ok("bloom_filter: peek", keyed(BLOOM, "map_peek_elem")),
  ok("bloom_filter: peek for a value unset, which root may", unset(BLOOM, "map_peek_elem")),
  no("bloom_filter: pop", "cannot pass map_type 30 into func", unset(BLOOM, "map_pop_elem")),
  no(
    "push on a hash",
    "cannot pass map_type 1 into func",
    keyed("hash key=8 value=8 entries=4", "map_push_elem"),
  ),
  ok("lpm_trie: look-up", keyed(TRIE, "map_lookup_elem", USED)),
  ok("lpm_trie: element deleted", keyed(TRIE, "map_delete_elem")),
  ok("lru_percpu_hash: look-up", keyed(LRU, "map_lookup_elem", USED)),
  no(
    "stack_trace: look-up",
    "cannot pass map_type 7 into func",
    keyed("stack_trace key=4 value=8 entries=4", "map_lookup_elem"),
  ),
  no(
    "cgroup_array: look-up",
    "cannot pass map_type 8 into func",
    keyed("cgroup_array key=4 value=4 entries=4", "map_lookup_elem"),
  ),
];
