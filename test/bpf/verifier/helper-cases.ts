/** Helpers: arguments, sizes, locks held over them, references they give out. As in cases.ts recorded from Linux 6.18. */
import { type Case, HASH, LOCK, LOOKUP, no, ok, out, plain, value } from "./case.ts";

export const HELPER_CASES: readonly Case[] = [
  // Helpers
  no("unknown helper", "invalid func unknown#", plain("call 9999\nr0 = 0\nexit")),
  no("helper of another type", "", plain("r2 = 0\ncall bpf_skb_pull_data\nr0 = 0\nexit")),
  ok(
    "uninitialised key as root",
    `.type xdp\n${HASH}\nr2 = r10\nr2 += -8\nr1 = m ll\ncall bpf_map_lookup_elem\nr0 = 0\nexit`,
  ),
  no(
    "key too short",
    "invalid read from stack R2 off=-4 size=8",
    `.type xdp\n${HASH}\nr2 = r10\nr2 += -4\nr1 = m ll\ncall bpf_map_lookup_elem\nr0 = 0\nexit`,
  ),
  no(
    "key is a number",
    "R2 type=scalar expected=fp, pkt, pkt_meta, map_key, map_value",
    `.type xdp\n${HASH}\nr2 = 0\nr1 = m ll\ncall bpf_map_lookup_elem\nr0 = 0\nexit`,
  ),
  no(
    "map is the stack",
    "R1 type=fp expected=map_ptr",
    `.type xdp\n${HASH}\nr2 = r10\nr2 += -8\nr1 = r10\ncall bpf_map_lookup_elem\nr0 = 0\nexit`,
  ),
  no(
    "ctx is a number",
    "R1 type=scalar expected=ctx",
    plain("r1 = 0\nr2 = 0\ncall bpf_xdp_adjust_head\nr0 = 0\nexit"),
  ),
  no("argument unset", "R2 !read_ok", plain("call bpf_xdp_adjust_head\nr0 = 0\nexit")),
  ok(
    "variable length, bounded",
    plain(
      "r6 = r1\ncall bpf_get_prandom_u32\nr4 = r0\nr4 &= 31\nr4 += 1\nr3 = r10\nr3 += -32\nr2 = 0\nr1 = r6\ncall bpf_xdp_load_bytes\nr0 = 0\nexit",
    ),
  ),
  no(
    "variable length, may be 0",
    "invalid zero-sized read",
    plain(
      "r6 = r1\ncall bpf_get_prandom_u32\nr4 = r0\nr4 &= 31\nr3 = r10\nr3 += -32\nr2 = 0\nr1 = r6\ncall bpf_xdp_load_bytes\nr0 = 0\nexit",
    ),
  ),
  no(
    "variable length, too large",
    "invalid write to stack R3 off=-32 size=33",
    plain(
      "r6 = r1\ncall bpf_get_prandom_u32\nr4 = r0\nr4 &= 32\nr4 += 1\nr3 = r10\nr3 += -32\nr2 = 0\nr1 = r6\ncall bpf_xdp_load_bytes\nr0 = 0\nexit",
    ),
  ),
  no(
    "variable length, may be negative",
    "R4 min value is negative",
    plain(
      "r6 = r1\ncall bpf_ktime_get_ns\nr4 = r0\nif r4 s> 16 goto out\nr3 = r10\nr3 += -32\nr2 = 0\nr1 = r6\ncall bpf_xdp_load_bytes\nout: r0 = 0\nexit",
    ),
  ),
  no(
    "variable length, unbounded",
    "R4 ",
    plain(
      "r6 = r1\ncall bpf_get_prandom_u32\nr4 = r0\nr4 |= 1\nr3 = r10\nr3 += -32\nr2 = 0\nr1 = r6\ncall bpf_xdp_load_bytes\nr0 = 0\nexit",
    ),
  ),
  ok(
    "csum_diff with NULL and 0",
    plain(
      "r1 = 0\nr2 = 0\nr3 = r10\nr3 += -8\n*(u64 *)(r10 - 8) = 0\nr4 = 8\nr5 = 0\ncall bpf_csum_diff\nexit",
    ),
  ),
  no(
    "csum_diff with NULL and a size",
    "R1 type=scalar expected=fp",
    plain(
      "r1 = 0\nr2 = 4\nr3 = r10\nr3 += -8\n*(u64 *)(r10 - 8) = 0\nr4 = 8\nr5 = 0\ncall bpf_csum_diff\nexit",
    ),
  ),
  ok(
    "value given to update from a value",
    value(
      "r6 = r0\n*(u64 *)(r10 - 8) = 0\nr1 = m ll\nr2 = r10\nr2 += -8\nr3 = r6\nr4 = 0\ncall bpf_map_update_elem",
    ),
  ),
  no(
    "value given to update too short",
    "invalid access to map value, value_size=48 off=8 size=48",
    value(
      "r6 = r0\n*(u64 *)(r10 - 8) = 0\nr1 = m ll\nr2 = r10\nr2 += -8\nr3 = r6\nr3 += 8\nr4 = 0\ncall bpf_map_update_elem",
    ),
  ),
  ok(
    "tail call",
    ".type xdp\n.map t prog_array key=4 value=4 entries=4\nr2 = t ll\nr3 = 0\ncall bpf_tail_call\nr0 = 2\nexit",
  ),
  no(
    "tail call through a hash",
    "expected prog array map for tail call",
    `.type xdp\n${HASH}\nr2 = m ll\nr3 = 0\ncall bpf_tail_call\nr0 = 2\nexit`,
  ),
  no(
    "look-up in a program array",
    "cannot pass map_type 3 into func bpf_map_lookup_elem#1",
    ".type xdp\n.map t prog_array key=4 value=4 entries=4\n*(u64 *)(r10 - 8) = 0\nr2 = r10\nr2 += -8\nr1 = t ll\ncall bpf_map_lookup_elem\nr0 = 0\nexit",
  ),
  ok(
    "packet pointers after a tail call that failed",
    `.type xdp\n.map t prog_array key=4 value=4 entries=4\nr6 = r1\nr7 = *(u32 *)(r6 + 0)\nr8 = *(u32 *)(r6 + 4)\nr3 = r7\nr3 += 6\nif r3 > r8 goto out\nr1 = r6\nr2 = t ll\nr3 = 0\ncall bpf_tail_call\nr2 = *(u8 *)(r7 + 1)\n${out}`,
  ),
  no(
    "packet pointers after a function that may have ended in a tail call",
    "R7 invalid mem access 'scalar'",
    `.type xdp\n.map t prog_array key=4 value=4 entries=4\nr6 = r1\nr7 = *(u32 *)(r6 + 0)\nr8 = *(u32 *)(r6 + 4)\nr3 = r7\nr3 += 6\nif r3 > r8 goto out\nr1 = r6\ncall f\nr2 = *(u8 *)(r7 + 1)\n${out}\nf: r2 = t ll\nr3 = 0\ncall bpf_tail_call\nr0 = 0\nexit`,
  ),
  no(
    "result of a function that may have ended in a tail call, taken for its own",
    "invalid variable-offset read from stack",
    `.type xdp\n.map t prog_array key=4 value=4 entries=4\n*(u64 *)(r10 - 8) = 0\ncall f\nr1 = r10\nr1 += -8\nr0 &= 63\nr1 += r0\nr0 = *(u8 *)(r1 + 0)\nexit\nf: r2 = t ll\nr3 = 0\ncall bpf_tail_call\nr0 = 0\nexit`,
  ),
  ok(
    "a broken global function only dead code calls",
    ".type xdp\n.global g u32\nr1 = 1\nif r1 == 1 goto out\ncall g\nout: r0 = 0\nexit\ng: exit",
  ),
  no(
    "an alignment known before a sign extension is forgotten",
    "misaligned stack access",
    plain(
      "*(u64 *)(r10 - 8) = 0\ncall bpf_get_prandom_u32\nr0 <<= 13\nr0 = (s8)r0\nr1 = r10\nr1 += -8\nr1 += r0\nr0 = *(u16 *)(r1 + 0)\nexit",
    ),
  ),
  ok(
    "array element 0 by the upper half of a spilled zero",
    ".type xdp\n.map a array key=4 value=8 entries=1\n*(u64 *)(r10 - 8) = 0\nr2 = r10\nr2 += -4\nr1 = a ll\ncall bpf_map_lookup_elem\nr0 = *(u64 *)(r0 + 0)\nexit",
  ),
  no(
    "result used after a tail call",
    "R0 !read_ok",
    ".type xdp\n.map t prog_array key=4 value=4 entries=4\nr2 = t ll\nr3 = 0\ncall bpf_tail_call\nexit",
  ),
  // Spin locks
  ok(
    "lock and unlock",
    `.type xdp\n${LOCK}\n${LOOKUP}\nif r0 == 0 goto out\nr6 = r0\nr1 = r0\ncall bpf_spin_lock\nr1 = *(u64 *)(r6 + 8)\nr1 += 1\n*(u64 *)(r6 + 8) = r1\nr1 = r6\ncall bpf_spin_unlock\n${out}`,
  ),
  no(
    "exit with the lock",
    "BPF_EXIT instruction in main prog cannot be used inside bpf_spin_lock-ed region",
    `.type xdp\n${LOCK}\n${LOOKUP}\nif r0 == 0 goto out\nr1 = r0\ncall bpf_spin_lock\n${out}`,
  ),
  no(
    "helper under the lock",
    "function calls are not allowed while holding a lock",
    `.type xdp\n${LOCK}\n${LOOKUP}\nif r0 == 0 goto out\nr6 = r0\nr1 = r0\ncall bpf_spin_lock\ncall bpf_ktime_get_ns\nr1 = r6\ncall bpf_spin_unlock\n${out}`,
  ),
  no(
    "two locks",
    "function calls are not allowed while holding a lock",
    `.type xdp\n${LOCK}\n${LOOKUP}\nif r0 == 0 goto out\nr6 = r0\nr1 = r0\ncall bpf_spin_lock\nr1 = r6\ncall bpf_spin_lock\n${out}`,
  ),
  no(
    "unlock without lock",
    "bpf_spin_unlock without taking a lock",
    `.type xdp\n${LOCK}\n${LOOKUP}\nif r0 == 0 goto out\nr1 = r0\ncall bpf_spin_unlock\n${out}`,
  ),
  no(
    "unlock of another element",
    "bpf_spin_unlock of different lock",
    `.type xdp\n${LOCK}\n${LOOKUP}\nif r0 == 0 goto out\nr7 = r0\n${LOOKUP}\nif r0 == 0 goto out\nr6 = r0\nr1 = r0\ncall bpf_spin_lock\nr1 = r7\ncall bpf_spin_unlock\n${out}`,
  ),
  no(
    "lock on one path only",
    "",
    `.type xdp\n${LOCK}\n${LOOKUP}\nif r0 == 0 goto out\nr6 = r0\nr1 = *(u64 *)(r0 + 8)\nif r1 == 0 goto unlock\nr1 = r0\ncall bpf_spin_lock\nunlock: r1 = r6\ncall bpf_spin_unlock\n${out}`,
  ),
  no(
    "lock read as data",
    "bpf_spin_lock cannot be accessed directly by load/store",
    `.type xdp\n${LOCK}\n${LOOKUP}\nif r0 == 0 goto out\nr0 = *(u32 *)(r0 + 0)\n${out}`,
  ),
  no(
    "lock at the wrong place",
    "doesn't point to 'struct bpf_spin_lock' that is at 0",
    `.type xdp\n${LOCK}\n${LOOKUP}\nif r0 == 0 goto out\nr1 = r0\nr1 += 4\ncall bpf_spin_lock\n${out}`,
  ),
  no("lock in a map without one", "", value("r1 = r0\ncall bpf_spin_lock")),
  no(
    "lock for a socket filter",
    "socket filter progs cannot use bpf_spin_lock yet",
    `.type socket_filter\n${LOCK}\nr1 = m ll\nr0 = 0\nexit`,
  ),
  no(
    "lock at a variable place",
    "doesn't have constant offset. bpf_spin_lock has to be at the constant offset",
    `.type xdp\n${LOCK}\n${LOOKUP}\nif r0 == 0 goto out\nr1 = *(u64 *)(r0 + 8)\nr1 &= 4\nr0 += r1\nr1 = r0\ncall bpf_spin_lock\n${out}`,
  ),
  // References
  ok(
    "socket looked up and released",
    ".type tc\n*(u64 *)(r10 - 16) = 0\n*(u64 *)(r10 - 8) = 0\nr2 = r10\nr2 += -16\nr3 = 12\nr4 = 0\nr5 = 0\ncall bpf_sk_lookup_tcp\nif r0 == 0 goto out\nr1 = r0\ncall bpf_sk_release\nout: r0 = 0\nexit",
  ),
  no(
    "socket not released",
    "Unreleased reference",
    ".type tc\n*(u64 *)(r10 - 16) = 0\n*(u64 *)(r10 - 8) = 0\nr2 = r10\nr2 += -16\nr3 = 12\nr4 = 0\nr5 = 0\ncall bpf_sk_lookup_tcp\nr0 = 0\nexit",
  ),
  no(
    "socket released without a null check",
    "",
    ".type tc\n*(u64 *)(r10 - 16) = 0\n*(u64 *)(r10 - 8) = 0\nr2 = r10\nr2 += -16\nr3 = 12\nr4 = 0\nr5 = 0\ncall bpf_sk_lookup_tcp\nr1 = r0\ncall bpf_sk_release\nr0 = 0\nexit",
  ),
  no(
    "socket released twice",
    "",
    ".type tc\n*(u64 *)(r10 - 16) = 0\n*(u64 *)(r10 - 8) = 0\nr2 = r10\nr2 += -16\nr3 = 12\nr4 = 0\nr5 = 0\ncall bpf_sk_lookup_tcp\nif r0 == 0 goto out\nr6 = r0\nr1 = r0\ncall bpf_sk_release\nr1 = r6\ncall bpf_sk_release\nout: r0 = 0\nexit",
  ),
  no(
    "socket used after release",
    "",
    ".type tc\n*(u64 *)(r10 - 16) = 0\n*(u64 *)(r10 - 8) = 0\nr2 = r10\nr2 += -16\nr3 = 12\nr4 = 0\nr5 = 0\ncall bpf_sk_lookup_tcp\nif r0 == 0 goto out\nr6 = r0\nr1 = r0\ncall bpf_sk_release\nr0 = *(u32 *)(r6 + 0)\nout: r0 = 0\nexit",
  ),
];
