/**
 * For each rule of the verifier the smallest program that breaks it, and the same program repaired. A test
 * checks that each is rejected by its very rule and its twin accepted.
 */
import type { RuleId } from "../../bpf/verifier/rules.ts";
import type { VerifyOptions } from "../../bpf/verifier/verify.ts";

export type RuleExample = {
  readonly broken: string;
  readonly fixed: string;
  readonly options?: VerifyOptions;
};

const LOOKUP = `*(u32 *)(r10 - 4) = 1
r1 = map[counters] ll
r2 = r10
r2 += -4
call bpf_map_lookup_elem`;
const MAP = ".map counters hash key=4 value=16 entries=8";
const HAVE = `${MAP}\n${LOOKUP}\nif r0 == 0 goto out`;
const OUT = "out: r0 = 2\nexit";
const PACKET = "r2 = *(u32 *)(r1 + 0)        ; data\nr3 = *(u32 *)(r1 + 4)        ; data_end";
const CHECK = "r4 = r2\nr4 += 4\nif r4 > r3 goto out          ; shorter than 4 bytes";
const PASS = "r0 = 2\nexit";
const LOCKED = `.map counters hash key=4 value=16 entries=8 lock=0\n${LOOKUP}\nif r0 == 0 goto out\nr6 = r0\nr1 = r6\ncall bpf_spin_lock`;
const INNER_TAIL_CALL = `.map jumps prog_array entries=2
r6 = r1
*(u64 *)(r10 -SIZE) = 0      ; the caller's stack
call inner
${PASS}
inner: r2 = map[jumps] ll
r3 = 0
call bpf_tail_call
r0 = 0
exit`;
const NIC = { target: "nic" } as const;
const USER = { unprivileged: true } as const;

export const RULE_EXAMPLES: Readonly<Partial<Record<RuleId, RuleExample>>> = {
  "infinite-loop": {
    broken: `r1 = 0\nagain: r2 = r1               ; nothing moves on\nif r2 == 0 goto again\n${PASS}`,
    fixed: `r1 = 0\nagain: r1 += 1\nif r1 < 8 goto again         ; a bound\n${PASS}`,
  },
  "packet-bounds": {
    broken: `${PACKET}\nr0 = *(u8 *)(r2 + 0)         ; is there a byte?\nexit`,
    fixed: `${PACKET}\n${CHECK}\nr0 = *(u8 *)(r2 + 0)\n${OUT}`,
  },
  "null-pointer": {
    broken: `${MAP}\n${LOOKUP}\nr1 = *(u64 *)(r0 + 0)        ; the key may be missing\n${PASS}`,
    fixed: `${HAVE}\nr1 = *(u64 *)(r0 + 0)\n${OUT}`,
  },
  "uninitialised-register": {
    broken: "r0 = r3\nexit",
    fixed: "r3 = 2\nr0 = r3\nexit",
  },
  "too-complex": {
    broken: `r6 = 0\nagain: r6 += 1               ; two million instructions\nif r6 < 1000000 goto again\n${PASS}`,
    fixed: `r6 = 0\nagain: r6 += 1\nif r6 < 1000 goto again\n${PASS}`,
    options: { insnLimit: 100_000 },
  },
  "bad-jump": { broken: "r0 = 2\ngoto +5\nexit", fixed: "r0 = 2\ngoto +0\nexit" },
  "bad-instruction": { broken: "r3 = 0\ncallx r3\nexit", fixed: `call bpf_ktime_get_ns\n${PASS}` },
  "fall-through": { broken: "r0 = 2", fixed: PASS },
  "unreachable-code": { broken: "r0 = 2\nexit\nr0 = 1\nexit", fixed: PASS },
  "back-edge": {
    broken: `.type socket_filter\nr1 = 0\nagain: r1 += 1\nif r1 < 4 goto again\nr0 = 0\nexit`,
    fixed: ".type socket_filter\nr1 = 0\nr1 += 1\nr1 += 1\nr1 += 1\nr0 = 0\nexit",
    options: USER,
  },
  "frame-pointer-write": { broken: `r10 += -8\n${PASS}`, fixed: `r1 = r10\nr1 += -8\n${PASS}` },
  "pointer-arithmetic": {
    broken: `r1 *= 2                      ; a pointer is no number\n${PASS}`,
    fixed: `r2 = 4\nr2 *= 2\nr1 += r2\n${PASS}`,
  },
  "pointer-offset": {
    broken: `${HAVE}\nr0 += 0x20000000\n${OUT}`,
    fixed: `${HAVE}\nr0 += 8\n${OUT}`,
  },
  "pointer-leak": {
    broken: ".type socket_filter\nr0 = r1                      ; an address of the kernel\nexit",
    fixed: ".type socket_filter\nr0 = 0\nexit",
    options: USER,
  },
  "scalar-operation": { broken: `r1 = 1\nr1 <<= 64\n${PASS}`, fixed: `r1 = 1\nr1 <<= 63\n${PASS}` },
  "bad-memory-access": {
    broken: `r2 = 4096\nr0 = *(u64 *)(r2 + 0)        ; a number is no pointer\nexit`,
    fixed: `*(u64 *)(r10 - 8) = 2\nr2 = r10\nr0 = *(u64 *)(r2 - 8)\nexit`,
  },
  "map-value-bounds": {
    broken: `${HAVE}\nr1 = *(u64 *)(r0 + 12)       ; 12 + 8 > 16\n${OUT}`,
    fixed: `${HAVE}\nr1 = *(u64 *)(r0 + 8)\n${OUT}`,
  },
  "memory-bounds": {
    broken: `.global first ptr:8\n*(u64 *)(r10 - 8) = 2\nr1 = r10\nr1 += -8\ncall first\nexit\nfirst: if r1 == 0 goto none\nr0 = *(u64 *)(r1 + 4)        ; the prototype promises 8 bytes\nexit\nnone: r0 = 0\nexit`,
    fixed: `.global first ptr:8\n*(u64 *)(r10 - 8) = 2\nr1 = r10\nr1 += -8\ncall first\nexit\nfirst: if r1 == 0 goto none\nr0 = *(u64 *)(r1 + 0)\nexit\nnone: r0 = 0\nexit`,
  },
  "map-access": {
    broken: `.map limit array data="0a000000" readonly\nr1 = map[limit][0]+0 ll\n*(u32 *)(r1 + 0) = 1\n${PASS}`,
    fixed: `.map limit array data="0a000000" readonly\nr1 = map[limit][0]+0 ll\nr1 = *(u32 *)(r1 + 0)\n${PASS}`,
  },
  "context-access": {
    broken: "r0 = *(u32 *)(r1 + 24)       ; xdp_md ends here\nexit",
    fixed: "r0 = *(u32 *)(r1 + 12)       ; ingress_ifindex\nexit",
  },
  "stack-bounds": { broken: `*(u64 *)(r10 - 520) = 0\n${PASS}`, fixed: `*(u64 *)(r10 - 512) = 0\n${PASS}` },
  "stack-overflow": {
    broken: `*(u64 *)(r10 - 400) = 0\ncall inner\n${PASS}\ninner: *(u64 *)(r10 - 400) = 0\nr0 = 0\nexit`,
    fixed: `*(u64 *)(r10 - 200) = 0\ncall inner\n${PASS}\ninner: *(u64 *)(r10 - 200) = 0\nr0 = 0\nexit`,
  },
  "uninitialised-stack": {
    broken: ".type socket_filter\nr0 = *(u64 *)(r10 - 8)       ; what lies there?\nexit",
    fixed: ".type socket_filter\n*(u64 *)(r10 - 8) = 0\nr0 = *(u64 *)(r10 - 8)\nexit",
    options: USER,
  },
  "misaligned-access": {
    broken: `*(u64 *)(r10 - 12) = 0\n${PASS}`,
    fixed: `*(u64 *)(r10 - 16) = 0\n${PASS}`,
  },
  "atomic-target": {
    broken: `${PACKET}\n${CHECK}\nr5 = 1\nlock *(u32 *)(r2 + 0) += r5\n${OUT}`,
    fixed: `${HAVE}\nr1 = 1\nlock *(u32 *)(r0 + 0) += r1\n${OUT}`,
  },
  "unknown-helper": { broken: `call 9999\n${PASS}`, fixed: `call bpf_ktime_get_ns\n${PASS}` },
  "helper-argument": {
    broken: `r1 = 0                       ; not a map\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem\n${PASS}`,
    fixed: `${MAP}\n${LOOKUP}\n${PASS}`,
  },
  "helper-size": {
    broken: `.license GPL\n*(u64 *)(r10 - 8) = 0\nr1 = r10\nr1 += -8\nr2 = 0                       ; no byte at all\ncall bpf_trace_printk\n${PASS}`,
    fixed: `.license GPL\n*(u64 *)(r10 - 8) = 0\nr1 = r10\nr1 += -8\nr2 = 8\ncall bpf_trace_printk\n${PASS}`,
  },
  "map-helper-mismatch": {
    broken: `.map jumps prog_array entries=2\n${LOOKUP.replace("counters", "jumps")}\n${PASS}`,
    fixed: `${MAP}\n${LOOKUP}\n${PASS}`,
  },
  license: {
    broken: `.license Proprietary\n*(u64 *)(r10 - 8) = 0\nr1 = r10\nr1 += -8\nr2 = 8\ncall bpf_trace_printk\n${PASS}`,
    fixed: `.license GPL\n*(u64 *)(r10 - 8) = 0\nr1 = r10\nr1 += -8\nr2 = 8\ncall bpf_trace_printk\n${PASS}`,
  },
  "spin-lock": {
    broken: `${LOCKED}\n${OUT}            ; still locked`,
    fixed: `${LOCKED}\nr1 = r6\ncall bpf_spin_unlock\n${OUT}`,
  },
  "bad-call": {
    broken: `call deeper\n${PASS}\ndeeper: call deeper          ; itself, for ever\nexit`,
    fixed: `call deeper\n${PASS}\ndeeper: r0 = 0\nexit`,
  },
  "tail-call": {
    broken: `${INNER_TAIL_CALL.replace("-SIZE", "- 320")}`,
    fixed: `${INNER_TAIL_CALL.replace("-SIZE", "- 64")}`,
  },
  "return-value": {
    broken: `call inner\n${PASS}\ninner: r0 = r10              ; its frame is gone when it returns\nexit`,
    fixed: `call inner\n${PASS}\ninner: r0 = 1\nexit`,
  },
  unprivileged: { broken: PASS, fixed: `.type socket_filter\nr0 = 0\nexit`, options: USER },
  "bad-map": {
    broken: `.map counters array value=8 entries=4\nr1 = map[counters][0]+40 ll  ; past its only reachable value\n${PASS}`,
    fixed: `.map counters array value=8 entries=1\nr1 = map[counters][0]+0 ll\n${PASS}`,
  },
  "nic-map": {
    broken: `.map counters lru_hash key=4 value=16 entries=8\n${LOOKUP}\n${PASS}`,
    fixed: `${MAP}\n${LOOKUP}\n${PASS}`,
    options: NIC,
  },
  "nic-helper": {
    broken: `call bpf_ktime_get_ns\n${PASS}`,
    fixed: `call bpf_get_prandom_u32\n${PASS}`,
    options: NIC,
  },
  "nic-size": {
    broken: `${"r0 = 2\n".repeat(4_096)}exit`,
    fixed: `${"r0 = 2\n".repeat(4_095)}exit`,
    options: NIC,
  },
  "nic-type": { broken: ".type sk_skb\nr0 = 1\nexit", fixed: PASS, options: NIC },
  iterator: {
    broken: `r1 = r10\nr1 += -8\ncall bpf_iter_num_next       ; nobody made it\n${PASS}`,
    fixed: `r1 = r10\nr1 += -8\nr2 = 0\nr3 = 1000000\ncall bpf_iter_num_new\nround: r1 = r10\nr1 += -8\ncall bpf_iter_num_next\nif r0 != 0 goto round       ; a million rounds, walked a few times\nr1 = r10\nr1 += -8\ncall bpf_iter_num_destroy\n${PASS}`,
  },
};
