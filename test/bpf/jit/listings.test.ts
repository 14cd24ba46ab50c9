import { describe, expect, test } from "vitest";
import { STACK_BYTES } from "../../../src/bpf/isa.ts";
import { emitModule } from "../../../src/bpf/jit/compile.ts";
import { Runtime, STATE } from "../../../src/bpf/runtime.ts";
import { inputOfText } from "./compile-input.ts";
import { printModule } from "./wat.ts";

/** Programs whose code is kept as text under listings/: a change of the emitter shows there. */
const PROGRAMS: readonly { name: string; text: string; checked?: true }[] = [
  { name: "straight-line", text: "r0 = r1\nr0 += 5\nw0 *= w2\nr0 s>>= 3\nexit" },
  { name: "division", text: "r0 /= r1\nr0 s/= r2\nw0 %= w3\nr0 s%= 7\nr0 /= 0\nexit" },
  { name: "byte-order", text: "r0 = r1\nr0 = be16 r0\nr0 = be64 r0\nr0 = bswap32 r0\nr0 = le32 r0\nexit" },
  {
    name: "memory",
    text: "r2 = *(u32 *)(r1 + 4)\nr0 = *(s8 *)(r2 - 3)\n*(u64 *)(r10 - 8) = r0\n*(u16 *)(r2 + 2) = 7\nr3 = r10\nr3 += -8\nr0 = *(u64 *)(r3 + 0)\nexit",
  },
  {
    name: "memory-checked",
    text: "r2 = *(u32 *)(r1 + 4)\n*(u64 *)(r10 - 8) = r2\nr0 = 0\nexit",
    checked: true,
  },
  {
    name: "branches",
    text: "r0 = 1\nif r1 == 0 goto a\nif w1 s> 7 goto b\nr0 = 2\nexit\na: r0 += 3\nb: r0 += 4\nexit",
  },
  { name: "loop", text: "r0 = 0\nagain: r0 += r1\nr1 -= 1\nif r1 != 0 goto again\nexit" },
  {
    name: "nested-loops",
    text: "r0 = 0\nouter: r2 = 10\ninner: r0 += 1\nif r0 & 64 goto out\nr2 -= 1\nif r2 != 0 goto inner\nr1 -= 1\nif r1 != 0 goto outer\nout: exit",
  },
  {
    name: "irreducible",
    text: "r0 = 0\nif r1 == 0 goto b\na: r0 += 1\nb: r0 += 2\nr1 -= 1\nif r1 != 0 goto a\nexit",
  },
  {
    name: "array-lookup",
    text: ".map m array key=4 value=12 entries=8\n*(u32 *)(r10 - 4) = 3\nr2 = r10\nr2 += -4\nr1 = m ll\ncall bpf_map_lookup_elem\nif r0 == 0 goto out\nr0 = *(u32 *)(r0 + 8)\nout: exit",
  },
  {
    name: "helpers",
    text: ".map h hash key=4 value=8 entries=8\nr6 = r1\n*(u32 *)(r10 - 4) = 3\nr2 = r10\nr2 += -4\nr1 = h ll\ncall bpf_map_delete_elem\ncall bpf_ktime_get_ns\nr1 = r6\nr2 = -8\ncall bpf_xdp_adjust_tail\nexit",
  },
  {
    name: "atomics",
    text: "r1 = r10\nr1 += -8\nlock *(u64 *)(r1 + 0) += r2\nr2 = atomic64_fetch_add((u64 *)(r1 + 0), r2)\nw3 = xchg32_32(r1 + 4, w3)\nr0 = cmpxchg_64(r1 + 0, r0, r2)\nexit",
  },
  { name: "subprogram", text: "r1 = 2\ncall f\nexit\nf: r0 = r1\nr0 += r1\nexit" },
  {
    name: "tail-call",
    text: ".map next prog_array key=4 value=4 entries=4\nr2 = next ll\nr3 = 1\ncall bpf_tail_call\nr0 = 2\nexit",
  },
  {
    name: "bpf-loop",
    text: "r1 = 10\nr2 = body ll\nr3 = 0\nr4 = 0\ncall bpf_loop\nexit\nbody: r0 = 0\nexit",
  },
  { name: "packet-load", text: "r6 = r1\nr0 = *(u16 *)skb[12]\nexit" },
];

/** Addresses by name: where the machine puts its words and its stack is not the emitter's matter. */
function named(listing: string, { stateAddress, stackTop }: Runtime): string {
  const names = new Map<number, string>([[stackTop - STACK_BYTES, "top_frame"]]);
  for (const [word, offset] of Object.entries(STATE)) names.set(stateAddress + offset, `$${word}`);
  return listing.replaceAll(/\d+/g, (digits) => names.get(Number(digits)) ?? digits);
}

describe("compiled code", () => {
  test("the entry points of every module", async () => {
    const { wasm } = emitModule(inputOfText("exit", { checked: false }));
    await expect(named(printModule(wasm, true), new Runtime())).toMatchFileSnapshot(
      "listings/entry-points.wat",
    );
  });

  test.each(PROGRAMS)("$name", async ({ name, text, checked = false }) => {
    const input = inputOfText(text, { checked });
    const { wasm } = emitModule(input, { tailCalls: true });
    expect(WebAssembly.validate(wasm)).toBe(true);
    const code = named(printModule(wasm), input.rt);
    const source = text.replaceAll(/^/gm, ";; ");
    await expect(`${source}\n${code}`).toMatchFileSnapshot(`listings/${name}.wat`);
  });
});
