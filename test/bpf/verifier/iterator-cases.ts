/** Open-coded iterators, one program a row, as cases.ts: what Linux 6.18 says of each, as root. */
import type { Case } from "./case.ts";

const ok = (name: string, text: string): Case => ({ name, text, accepts: true });
const no = (name: string, says: string, text: string): Case => ({ name, text, accepts: false, says });

const HEAD = ".type xdp\n.license GPL";
const ARRAY = ".map m array key=4 value=40 entries=1";

/** r1 = the iterator at fp+off, in the frame of r10. */
const at = (off: number) => `r1 = r10\nr1 += ${off}`;
const start = (off: number, from = "r2 = 0", to = "r3 = 10") =>
  `${at(off)}\n${from}\n${to}\ncall bpf_iter_num_new`;
const next = (off: number) => `${at(off)}\ncall bpf_iter_num_next`;
const destroy = (off: number) => `${at(off)}\ncall bpf_iter_num_destroy`;
const end = "r0 = 0\nexit";

/** A whole loop at fp+off; the body sees r0 -> element. */
const loop = (off: number, body: string, name = `l${-off}`) =>
  `${start(off)}
${name}: ${next(off)}
if r0 == 0 goto ${name}_end
${body}
goto ${name}
${name}_end: ${destroy(off)}`;

const plain = (body: string) => `${HEAD}\n${body}\n${end}`;

/** r8 -> the 40-byte value of an array's only element. */
const withValue = (body: string) => `${HEAD}
${ARRAY}
*(u32 *)(r10 - 4) = 0
r2 = r10
r2 += -4
r1 = m ll
call bpf_map_lookup_elem
if r0 == 0 goto none
r8 = r0
${body}
none: ${end}`;

const element = "r1 = *(u32 *)(r0 + 0)";

export const ITERATOR_CASES: readonly Case[] = [
  ok("iterator: made and destroyed", plain(`${start(-8)}\n${destroy(-8)}`)),
  ok("iterator: an empty loop", plain(loop(-8, "r7 = 1"))),
  ok("iterator: a sum converges", plain(`r7 = 0\n${loop(-8, `${element}\nr7 += r1`)}`)),
  ok("iterator: a range of 8 million", plain(`${start(-8, "r2 = 0", "r3 = 8000000")}\n${destroy(-8)}`)),
  ok(
    "iterator: a loop of a million rounds",
    plain(`r7 = 0
${start(-8, "r2 = 0", "r3 = 1000000")}
l: ${next(-8)}
if r0 == 0 goto e
r7 += 1
goto l
e: ${destroy(-8)}`),
  ),
  ok(
    "iterator: two loops after one another, same slot",
    plain(`${loop(-8, "r7 = 1", "a")}\n${loop(-8, "r7 = 2", "b")}`),
  ),
  ok("iterator: nested loops", plain(`r7 = 0\n${loop(-8, loop(-16, "r7 += 1"))}`)),
  ok("iterator: three nested loops", plain(`r7 = 0\n${loop(-8, loop(-16, loop(-24, "r7 += 1")))}`)),
  ok("iterator: early break, destroyed", plain(loop(-8, `${element}\nif r1 == 5 goto l8_end`))),
  no(
    "iterator: early return leaks it",
    "Unreleased reference id=1 alloc_insn=4",
    plain(`${loop(-8, `${element}\nif r1 == 6 goto leave`)}\nleave: r7 = 0`),
  ),
  no("iterator: never destroyed", "Unreleased reference id=1 alloc_insn=4", plain(start(-8))),
  no(
    "iterator: two never destroyed, both named",
    "Unreleased reference id=1 alloc_insn=4\nUnreleased reference id=2 alloc_insn=9",
    plain(`${start(-8)}\n${start(-16)}`),
  ),
  no(
    "iterator: inner one not destroyed",
    "Unreleased reference id=3",
    plain(loop(-8, `${start(-16)}\n${next(-16)}`)),
  ),
  no("iterator: next before new", "expected an initialized iter_num as arg #0", plain(next(-8))),
  no("iterator: destroy before new", "expected an initialized iter_num as arg #0", plain(destroy(-8))),
  no(
    "iterator: next after destroy",
    "expected an initialized iter_num as arg #0",
    plain(`${start(-8)}\n${destroy(-8)}\n${next(-8)}`),
  ),
  no(
    "iterator: destroyed twice",
    "expected an initialized iter_num as arg #0",
    plain(`${start(-8)}\n${destroy(-8)}\n${destroy(-8)}`),
  ),
  no(
    "iterator: made twice",
    "expected uninitialized iter_num as arg #0",
    plain(`${start(-8)}\n${start(-8)}\n${destroy(-8)}`),
  ),
  ok(
    "iterator: made again after destroy",
    plain(`${start(-8)}\n${destroy(-8)}\n${start(-8)}\n${destroy(-8)}`),
  ),
  no(
    "iterator: the element after destroy is a number",
    "R7 invalid mem access 'scalar'",
    plain(`r7 = 0
${start(-8)}
${next(-8)}
r7 = r0
if r0 == 0 goto e
${destroy(-8)}
r1 = *(u32 *)(r7 + 0)
${end}
e: ${destroy(-8)}`),
  ),
  no(
    "iterator: element not tested for NULL",
    "R0 invalid mem access 'scalar'",
    plain(`${start(-8)}\n${next(-8)}\n${element}\n${destroy(-8)}`),
  ),
  no("iterator: element written", "R0 cannot write into rdonly_mem", plain(loop(-8, "*(u32 *)(r0 + 0) = 1"))),
  no(
    "iterator: element read beyond its 4 bytes",
    "invalid access to memory, mem_size=4 off=0 size=8",
    plain(loop(-8, "r1 = *(u64 *)(r0 + 0)")),
  ),
  ok("iterator: a byte of the element", plain(loop(-8, "r1 = *(u8 *)(r0 + 3)"))),
  no(
    "iterator: its memory is read",
    "invalid read from stack off -8+0 size 8",
    plain(`${start(-8)}\nr1 = *(u64 *)(r10 - 8)\n${destroy(-8)}`),
  ),
  no(
    "iterator: a byte of it is read",
    "invalid read from stack off -5+0 size 1",
    plain(`${start(-8)}\nr1 = *(u8 *)(r10 - 5)\n${destroy(-8)}`),
  ),
  no(
    "iterator: overwritten, so no longer one",
    "expected an initialized iter_num as arg #0",
    plain(`${start(-8)}\n*(u64 *)(r10 - 8) = 0\n${destroy(-8)}`),
  ),
  no(
    "iterator: partly overwritten",
    "expected an initialized iter_num as arg #0",
    plain(`${start(-8)}\n*(u8 *)(r10 - 3) = 0\n${destroy(-8)}`),
  ),
  no(
    "iterator: overwritten and left",
    "Unreleased reference id=1",
    plain(`${start(-8)}\n*(u64 *)(r10 - 8) = 0`),
  ),
  no(
    "iterator: given to a helper to read",
    "invalid read from stack R2 off -8+0 size 4",
    `${HEAD}\n${ARRAY}\n${start(-8)}\nr2 = r10\nr2 += -8\nr1 = m ll\ncall bpf_map_lookup_elem\n${destroy(-8)}\n${end}`,
  ),
  no(
    "iterator: not on the stack",
    "arg#0 expected pointer to an iterator on stack",
    plain("r2 = 0\nr3 = 1\ncall bpf_iter_num_new"),
  ),
  no(
    "iterator: NULL",
    "Possibly NULL pointer passed to trusted arg0",
    plain("r1 = 0\ncall bpf_iter_num_next"),
  ),
  no(
    "iterator: in a map value",
    "arg#0 expected pointer to an iterator on stack",
    withValue("r1 = r8\nr2 = 0\nr3 = 1\ncall bpf_iter_num_new"),
  ),
  no("iterator: misaligned", "cannot pass in iter at an offset=-12", plain(`${start(-12)}\n${destroy(-12)}`)),
  no("iterator: above the frame", "cannot pass in iter at an offset=8", plain(start(8))),
  no("iterator: at the frame pointer", "invalid write to stack R1 off=0 size=8", plain(start(0))),
  no("iterator: below the stack", "invalid write to stack R1 off=-520 size=8", plain(start(-520))),
  no("iterator: next below the stack", "expected an initialized iter_num as arg #0", plain(next(-520))),
  ok("iterator: at the bottom of the stack", plain(loop(-512, "r7 = 1"))),
  no(
    "iterator: at a variable offset",
    "iter has to be at a constant offset",
    `${HEAD}
r6 = *(u32 *)(r1 + 12)
r6 &= 8
r1 = r10
r1 += -16
r1 += r6
r2 = 0
r3 = 1
call bpf_iter_num_new
${end}`,
  ),
  no("iterator: bound is a pointer", "R2 is not a scalar", plain(start(-8, "r2 = r10"))),
  no(
    "iterator: bound was never set",
    "R3 is not a scalar",
    plain(`${at(-8)}\nr2 = 0\ncall bpf_iter_num_new\n${destroy(-8)}`),
  ),
  ok(
    "iterator: bounds nobody knows",
    `${HEAD}\nr6 = *(u32 *)(r1 + 12)\n${start(-8, "r2 = r6", "r3 = r6")}\n${destroy(-8)}\n${end}`,
  ),
  // Indexing by the element: its value is unknown, a comparison bounds it.
  no(
    "iterator: element as an index, unchecked",
    "R1 unbounded memory access",
    withValue(
      loop(-16, `${element}\nr2 = r8\nr2 += r1\nr3 = *(u8 *)(r2 + 0)`).replace(
        "r3 = *(u8 *)(r2",
        "r1 = r2\nr3 = *(u8 *)(r1",
      ),
    ),
  ),
  ok(
    "iterator: element as an index, checked",
    withValue(loop(-16, `${element}\nif r1 >= 40 goto l16\nr2 = r8\nr2 += r1\nr3 = *(u8 *)(r2 + 0)`)),
  ),
  no(
    "iterator: element as an index, off by one",
    "invalid access to map value, value_size=40 off=40 size=1",
    withValue(loop(-16, `${element}\nif r1 > 40 goto l16\nr2 = r8\nr2 += r1\nr3 = *(u8 *)(r2 + 0)`)),
  ),
  no(
    "iterator: a counter of one's own is not bounded by the range",
    "invalid access to map value, value_size=40",
    withValue(`r7 = 0\n${loop(-16, "r2 = r8\nr2 += r7\nr3 = *(u8 *)(r2 + 0)\nr7 += 1")}`),
  ),
  ok(
    "iterator: a counter of one's own, checked each round",
    withValue(
      `r7 = 0\n${loop(-16, "if r7 >= 40 goto l16_end\nr2 = r8\nr2 += r7\nr3 = *(u8 *)(r2 + 0)\nr7 += 1")}`,
    ),
  ),
  no(
    "iterator: a pointer that moves each round",
    "invalid access to map value",
    withValue(loop(-16, "r1 = *(u8 *)(r8 + 0)\nr8 += 1")),
  ),
  ok(
    "iterator: a spilled sum converges",
    plain(
      `*(u64 *)(r10 - 16) = 0\n${loop(-8, `${element}\nr2 = *(u64 *)(r10 - 16)\nr2 += r1\n*(u64 *)(r10 - 16) = r2`)}`,
    ),
  ),
  ok(
    "iterator: a 4-byte spilled sum converges",
    plain(
      `*(u32 *)(r10 - 16) = 0\n${loop(-8, `${element}\nr2 = *(u32 *)(r10 - 16)\nr2 += r1\n*(u32 *)(r10 - 16) = r2`)}`,
    ),
  ),
  no(
    "iterator: a spilled index is unknown after a round",
    "invalid access to map value",
    withValue(`*(u64 *)(r10 - 24) = 0
${loop(-16, "r2 = *(u64 *)(r10 - 24)\nr1 = r8\nr1 += r2\nr3 = *(u8 *)(r1 + 0)\nr2 += 1\n*(u64 *)(r10 - 24) = r2")}`),
  ),
  no(
    "iterator: what is unsafe only in the second round is found",
    "R7 invalid mem access 'scalar'",
    withValue(`r7 = r8\n${loop(-16, "r1 = *(u8 *)(r7 + 0)\nr7 = 5")}`),
  ),
  no(
    "iterator: what is unsafe only after the loop is found",
    "invalid access to map value",
    withValue(`r7 = 0\n${loop(-16, "r7 = 100")}\nr1 = r8\nr1 += r7\nr0 = *(u8 *)(r1 + 0)`),
  ),
  no(
    // Linux' own example of why states inside an open loop are compared in full.
    "iterator: a read mark that comes late",
    "invalid read from stack",
    plain(`r6 = r1
r7 = -16
*(u64 *)(r10 - 16) = 0
${loop(
  -8,
  `call bpf_get_prandom_u32
r6 = r0
r9 = -32
call bpf_get_prandom_u32
if r0 == r6 goto more
r7 = r9
more: call bpf_get_prandom_u32
if r0 == r6 goto l8
r0 = r10
r0 += r7
r1 = *(u64 *)(r0 + 0)
*(u64 *)(r10 - 600) = 0`,
)}`).replace("*(u64 *)(r10 - 600) = 0", "r0 = *(u64 *)(r10 - 8)"),
  ),
  no(
    "iterator: an offset that is bad only on a second way round",
    "register with unbounded min value",
    withValue(`r7 = 0
r9 = 0
${loop(
  -16,
  `call bpf_get_prandom_u32
if r0 != 7 goto far
r7 = r9
goto l16
far: r9 = 4000
call bpf_get_prandom_u32
if r0 != 9 goto l16
r1 = r8
r1 += r7
r1 = *(u8 *)(r1 + 0)`,
)}`),
  ),
  no(
    "iterator: precision carried over two back edges",
    "register with unbounded min value",
    withValue(`r6 = 0
r7 = 0
r9 = 0
${loop(
  -16,
  `call bpf_get_prandom_u32
if r0 == 1 goto use
if r0 == 2 goto two
r9 = 4000
goto l16
two: r7 = r6
r6 = r9
goto l16
use: r1 = r8
r1 += r7
r1 = *(u8 *)(r1 + 0)`,
)}`),
  ),
  ok(
    "iterator: next is called on after its end",
    plain(`${start(-8)}\n${next(-8)}\n${next(-8)}\n${next(-8)}\n${destroy(-8)}`),
  ),
  ok(
    "iterator: a loop that leaves by another condition",
    plain(
      `${start(-8)}\nl: ${next(-8)}\nif r0 == 0 goto e\ncall bpf_get_prandom_u32\nif r0 == 0 goto e\ngoto l\ne: ${destroy(-8)}`,
    ),
  ),
  no(
    "iterator: endless inside a round",
    "infinite loop detected",
    plain(loop(-8, "r7 = 1\nin: if r7 == 1 goto in")),
  ),
  ok("iterator: a counted loop in each round", plain(loop(-8, "r7 = 0\nin: r7 += 1\nif r7 < 20 goto in"))),
  ok(
    "iterator: two live ones, told apart",
    plain(`${start(-8)}\n${start(-16)}\n${destroy(-16)}\n${destroy(-8)}`),
  ),
  ok(
    "iterator: handed to a subprogram for its next",
    `${HEAD}
${start(-8)}
l: ${at(-8)}
call step
if r0 != 0 goto l
${destroy(-8)}
${end}
step: call bpf_iter_num_next
if r0 == 0 goto no
r0 = 1
exit
no: r0 = 0
exit`,
  ),
  ok(
    "iterator: made and destroyed by subprograms",
    `${HEAD}
${at(-8)}
call make
${at(-8)}
call drop
${end}
make: r2 = 0
r3 = 5
call bpf_iter_num_new
r0 = 0
exit
drop: call bpf_iter_num_destroy
r0 = 0
exit`,
  ),
  no(
    "iterator: left in the frame of a subprogram that returned",
    "Unreleased reference id=1",
    `${HEAD}\ncall make\n${end}\nmake: ${start(-8)}\nr0 = 0\nexit`,
  ),
  ok(
    "iterator: a loop in a subprogram",
    `${HEAD}\ncall f\n${end}\nf: r7 = 0\n${loop(-8, `${element}\nr7 += r1`)}\nr0 = r7\nexit`,
  ),
  ok(
    "iterator: a loop with a call in each round",
    `${HEAD}\nr7 = 0\n${loop(-8, `${element}\ncall f\nr7 += r0`)}\n${end}\nf: r0 = r1\nr0 *= 3\nexit`,
  ),
  ok(
    "iterator: under a lock",
    `${HEAD}
.map k hash key=8 value=48 entries=4 lock=0
*(u64 *)(r10 - 16) = 0
r2 = r10
r2 += -16
r1 = k ll
call bpf_map_lookup_elem
if r0 == 0 goto none
r6 = r0
r1 = r0
call bpf_spin_lock
${loop(-8, "r7 = 1")}
r1 = r6
call bpf_spin_unlock
none: ${end}`,
  ),
  no(
    "iterator: a lock taken in a round is not released",
    "cannot be used inside bpf_spin_lock-ed region",
    `${HEAD}
.map k hash key=8 value=48 entries=4 lock=0
*(u64 *)(r10 - 16) = 0
r2 = r10
r2 += -16
r1 = k ll
call bpf_map_lookup_elem
if r0 == 0 goto none
r6 = r0
${loop(-8, "r1 = r6\ncall bpf_spin_lock")}
none: ${end}`,
  ),
  no(
    "iterator: without a GPL licence",
    "cannot call kernel function from non-GPL compatible program",
    `.type xdp\n.license BSD\n${start(-8)}\n${destroy(-8)}\n${end}`,
  ),
  ok("iterator: in a socket filter", `.type socket_filter\n.license GPL\n${loop(-8, "r7 = 1")}\n${end}`),
  ok("iterator: in tc", `.type tc\n.license GPL\n${loop(-8, "r7 = 1")}\n${end}`),
  ok("iterator: in sk_skb", `.type sk_skb\n.license GPL\n${loop(-8, "r7 = 1")}\n${end}`),
  no(
    "iterator: a tail call with one live",
    "tail_call would lead to reference leak",
    `${HEAD}\n.map p prog_array key=4 value=4 entries=1\nr6 = r1\n${start(-8)}\nr1 = r6\nr2 = p ll\nr3 = 0\ncall bpf_tail_call\n${destroy(-8)}\n${end}`,
  ),
  no(
    "iterator: packet pointer checked before the loop, moved in it",
    "invalid access to packet",
    `${HEAD}
r6 = *(u32 *)(r1 + 0)
r7 = *(u32 *)(r1 + 4)
r2 = r6
r2 += 20
if r2 > r7 goto out
${loop(-8, "r3 = *(u8 *)(r6 + 0)\nr6 += 1")}
out: ${end}`,
  ),
  ok(
    "iterator: packet pointer checked in each round",
    `${HEAD}
r6 = *(u32 *)(r1 + 0)
r7 = *(u32 *)(r1 + 4)
r9 = 0
${loop(
  -8,
  `${element}
if r1 > 60 goto l8_end
r2 = r6
r2 += r1
r3 = r2
r3 += 1
if r3 > r7 goto l8_end
r4 = *(u8 *)(r2 + 0)
r9 += r4`,
)}
${end}`,
  ),
];
