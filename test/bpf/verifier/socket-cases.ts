/** Sockets: what may be read of them, and how long. Recorded from Linux 6.18 as in cases.ts. */
import { type Case, no, ok } from "./case.ts";

const LOOKUP = `r9 = r1
*(u64 *)(r10 - 16) = 0
*(u64 *)(r10 - 8) = 0
r2 = r10
r2 += -16
r3 = 12
r4 = -1
r5 = 0
call bpf_sk_lookup_tcp
if r0 == 0 goto out
r7 = r0`;
const out = "out: r0 = 0\nexit";
const looked = (body: string) => `.type tc\n${LOOKUP}\n${body}\n${out}`;
const listed = (body: string) => `.type tc\nr1 = *(u64 *)(r1 + 168)\nif r1 == 0 goto out\n${body}\n${out}`;

export const SOCKET_CASES: readonly Case[] = [
  ok(
    "a view of a socket, used before its release",
    looked(
      "r1 = r7\ncall bpf_tcp_sock\nif r0 == 0 goto rel\nr6 = *(u32 *)(r0 + 0)\nrel: r1 = r7\ncall bpf_sk_release",
    ),
  ),
  no(
    "a view of a socket, used after its release",
    "R6 invalid mem access 'scalar'",
    looked(
      "r1 = r7\ncall bpf_tcp_sock\nr6 = r0\nif r6 == 0 goto rel\nr1 = r7\ncall bpf_sk_release\nr0 = *(u32 *)(r6 + 0)\nr0 = 0\nexit\nrel: r1 = r7\ncall bpf_sk_release",
    ),
  ),
  ok(
    "released through its view",
    looked(
      "r1 = r7\ncall bpf_sk_fullsock\nif r0 == 0 goto rel\nr1 = r0\ncall bpf_sk_release\nr0 = 0\nexit\nrel: r1 = r7\ncall bpf_sk_release",
    ),
  ),
  no(
    "a view that is NULL does not end the reference",
    "Unreleased reference",
    looked("r1 = r7\ncall bpf_sk_fullsock\nif r0 == 0 goto out\nr1 = r7\ncall bpf_sk_release"),
  ),
  ok("a tuple of no bytes", looked("r1 = r7\ncall bpf_sk_release").replace("r3 = 12", "r3 = 0")),
  ok("family of a socket in part", listed("r0 = *(u8 *)(r1 + 4)")),
  no(
    "type of a socket that may not be full",
    "R1 invalid sock_common access off=8 size=4",
    listed("r0 = *(u32 *)(r1 + 8)"),
  ),
  no(
    "mark in part",
    "R0 invalid sock access off=16 size=1",
    listed("call bpf_sk_fullsock\nif r0 == 0 goto out\nr0 = *(u8 *)(r0 + 16)"),
  ),
  ok("port as a half word", listed("r0 = *(u16 *)(r1 + 48)")),
  no("beyond the port", "R1 invalid sock_common access off=50 size=2", listed("r0 = *(u16 *)(r1 + 50)")),
  no("a socket in 8 bytes", "R1 invalid sock_common access off=24 size=8", listed("r0 = *(u64 *)(r1 + 24)")),
  ok("bytes_received in 8 bytes", listed("call bpf_tcp_sock\nif r0 == 0 goto out\nr0 = *(u64 *)(r0 + 80)")),
  no(
    "bytes_received in 4 bytes",
    "",
    listed("call bpf_tcp_sock\nif r0 == 0 goto out\nr0 = *(u32 *)(r0 + 80)"),
  ),
];
