/**
 * The catalogue of what a program may be refused for: one row a rule, its title for a person and what
 * usually repairs it. docs/verifier/ has a page for each id; a test compares both ways.
 */
export const RULES = {
  "bad-instruction": {
    title: "not a valid instruction",
    hint: "Rebuild the object; hand-made bytecode must keep reserved fields zero and know the opcode.",
  },
  "bad-jump": {
    title: "a jump leaves the program or its function",
    hint: "Jump only to instructions of the same function, never into the middle of a wide load.",
  },
  "fall-through": {
    title: "control runs off the end of a function",
    hint: "End every function with exit or an unconditional jump backwards.",
  },
  "unreachable-code": {
    title: "some instructions can never run",
    hint: "Remove the dead instructions, or jump to them.",
  },
  "back-edge": {
    title: "an unprivileged program may not loop",
    hint: "Unroll the loop (#pragma unroll), or load with privileges.",
  },
  "infinite-loop": {
    title: "a loop comes round in the very same state",
    hint: "Change something each iteration that the exit condition tests, such as a counter with a constant bound.",
  },
  "too-complex": {
    title: "the program has more paths than the budget lets the verifier walk",
    hint: "Shorten loops, merge branches inside them, move the body to a global function or use bpf_loop.",
  },
  "uninitialised-register": {
    title: "a register is read before anything was put into it",
    hint: "Set the register on every path; after a call only r0 and r6-r9 hold values.",
  },
  "frame-pointer-write": {
    title: "r10 is the frame pointer and cannot be written",
    hint: "Copy r10 to another register and change the copy.",
  },
  "pointer-arithmetic": {
    title: "this arithmetic is not allowed on this pointer",
    hint: "Add or subtract a bounded number in 64 bits; check for NULL first; leave ctx, map and end pointers as they are.",
  },
  "pointer-offset": {
    title: "the pointer is moved further than any object reaches",
    hint: "Bound the number before adding it, for example with an if or a mask.",
  },
  "pointer-leak": {
    title: "an unprivileged program may not show or compare kernel addresses",
    hint: "Store, return and compare numbers, not pointers.",
  },
  "scalar-operation": {
    title: "this arithmetic has no defined result",
    hint: "Shift by less than the width and do not divide by the constant 0.",
  },
  "bad-memory-access": {
    title: "memory is accessed through something that is not a usable pointer",
    hint: "Keep the pointer in its register or a whole stack slot; reload packet pointers after helpers that move the packet.",
  },
  "null-pointer": {
    title: "a pointer that may be NULL is used",
    hint: "Test it: if (!p) return ...; before the access.",
  },
  "packet-bounds": {
    title: "the access is not proved to lie inside the packet",
    hint: "Compare data + offset + size with data_end and leave if it is greater, before this access.",
  },
  "map-value-bounds": {
    title: "the access is not proved to lie inside the map value",
    hint: "Bound the index with a comparison or a mask so that offset + size stays within value_size.",
  },
  "memory-bounds": {
    title: "the access is not proved to lie inside the memory",
    hint: "Bound the index so that offset + size stays within the size.",
  },
  "map-access": {
    title: "this map may not be read or written this way",
    hint: "Read-only maps and lock fields are off limits for plain stores; use a helper or another field.",
  },
  "context-access": {
    title: "the context has no such field for this program type",
    hint: "Load a listed field with its own width through the unchanged context pointer.",
  },
  "stack-bounds": {
    title: "the access lies outside the 512 bytes of the stack",
    hint: "Stay between r10-512 and r10-1; shrink large local variables or put them into a map.",
  },
  "stack-overflow": {
    title: "the frames of this call chain need more stack than there is",
    hint: "Shrink local variables or move them into a per-CPU array map.",
  },
  "uninitialised-stack": {
    title: "stack bytes are read before they were written",
    hint: "Initialise the whole variable, padding included.",
  },
  "misaligned-access": {
    title: "the access is not aligned to its size",
    hint: "Align spills to 8 bytes and atomics to their width.",
  },
  "atomic-target": {
    title: "atomic operations do not work on this memory",
    hint: "Use atomics on map values and the stack only.",
  },
  "unknown-helper": {
    title: "there is no such helper for this program type",
    hint: "Check the helper's number and the list of helpers of this hook.",
  },
  "unknown-kfunc": {
    title: "there is no such kernel function",
    hint: "Declare it extern ... __ksym with its exact name; call a weak one only where bpf_ksym_exists says it is there.",
  },
  iterator: {
    title: "an open-coded iterator is not used as it must be",
    hint: "Keep it in 8 aligned stack bytes of its own: new, then next until NULL, then destroy, and no other access.",
  },
  "helper-argument": {
    title: "a helper gets an argument of the wrong type",
    hint: "Pass what the prototype asks for; check pointers for NULL and do not change ctx or map pointers.",
  },
  "helper-size": {
    title: "the size given to a helper is not proved to fit",
    hint: "Bound it from both sides: if (len < 1 || len > MAX) return ...; or mask it.",
  },
  "map-helper-mismatch": {
    title: "this helper does not work on this type of map",
    hint: "Use a map of the type the helper is made for.",
  },
  license: {
    title: "the helper is for GPL-compatible programs only",
    hint: 'Declare a compatible licence: char _license[] SEC("license") = "GPL";',
  },
  "spin-lock": {
    title: "a bpf_spin_lock is not handled as it must be",
    hint: "One lock at a time; no calls while it is held; release it on every path.",
  },
  "reference-leak": {
    title: "a reference is acquired but not released on every path",
    hint: "Release it (bpf_sk_release, bpf_iter_num_destroy) before each return.",
  },
  "bad-call": {
    title: "a function is called in a way that is not allowed",
    hint: "At most 8 frames; arguments must match the prototype of a global function; callbacks are static functions.",
  },
  "tail-call": {
    title: "a tail call is not allowed here",
    hint: "Tail-call outside locks and held references, with less than 256 bytes of stack in the callers.",
  },
  "return-value": {
    title: "the value returned is not one that is allowed",
    hint: "Set r0 on every path to a number within the allowed range; do not return a pointer into a frame that ends.",
  },
  unprivileged: {
    title: "this needs privileges",
    hint: "Load as root, or do without the feature.",
  },
  "bad-map": {
    title: "the program names a map it cannot use",
    hint: "Declare the map in the object, with sizes its type takes; direct value access needs an array with one entry.",
  },
  "nic-map": {
    title: "the offloading NIC has no such map",
    hint: "Use array and hash maps only, or load for Linux.",
  },
  "nic-helper": {
    title: "the offloading NIC has no such helper",
    hint: "Leave out tail calls, map updates from the data plane and this helper, or load for Linux.",
  },
  "nic-size": {
    title: "the program is longer than the offloading NIC's store",
    hint: "Keep it to 4,096 instructions.",
  },
  "nic-type": {
    title: "the offloading NIC runs XDP and tc programs only",
    hint: "Load for Linux.",
  },
} as const satisfies Readonly<Record<string, { title: string; hint: string }>>;

export type RuleId = keyof typeof RULES;

/** Thrown inside the walk, caught by verify(), which returns it as a verdict. */
export class Rejection extends Error {
  readonly rule: RuleId;
  /** Instruction, where the walk does not know it anyway. */
  readonly insn: number | null;
  constructor(rule: RuleId, message: string, insn: number | null = null) {
    super(message);
    this.rule = rule;
    this.insn = insn;
  }
}

export function reject(rule: RuleId, message: string, insn: number | null = null): never {
  throw new Rejection(rule, message, insn);
}
