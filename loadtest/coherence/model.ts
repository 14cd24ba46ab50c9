/**
 * What one key of a cache does, as a sequential machine: the checker asks of every operation whether its
 * answer fits the state it would meet. A state is the key's value as text, or null where there is none.
 */
export type State = string | null;

export type Operation =
  | { readonly kind: "read" }
  | { readonly kind: "set" | "add" | "replace" | "append" | "prepend"; readonly value: string }
  /** Stores only over `expected`, the value a gets has shown: values are unique, so it stands for the cas. */
  | { readonly kind: "cas"; readonly expected: string; readonly value: string }
  | { readonly kind: "delete" }
  /** Reads, and moves the expiry to never. */
  | { readonly kind: "get-and-touch" }
  | { readonly kind: "incr"; readonly by: number }
  /** Not sent by anyone: the moment at which the item first written as `value` ends. */
  | { readonly kind: "expire"; readonly value: string };

/**
 * What the server said: the value read, what became of a write, the number after an incr. Undefined where
 * nobody heard, or where the protocol does not tell (a PUT's 204 over a live key does, a set's STORED not).
 */
export type Answer = State | WriteAnswer | undefined;
export const WRITE_ANSWERS = ["stored", "not-stored", "exists", "not-found", "created", "deleted"] as const;
export type WriteAnswer = { readonly wrote: (typeof WRITE_ANSWERS)[number] };

type Step = (state: State, operation: never, answer: Answer) => State | Refused;
/** The answer does not fit the state. */
export const REFUSED = Symbol("refused");
export type Refused = typeof REFUSED;

/** The state after `did`, if a server in `state` would have said so. */
function settle(did: (typeof WRITE_ANSWERS)[number], answer: Answer, after: State): State | Refused {
  return answer === undefined || (isWriteAnswer(answer) && answer.wrote === did) ? after : REFUSED;
}

const STEPS: { readonly [K in Operation["kind"]]: Step } = {
  read: (state, _, answer) => (answer === undefined || answer === state ? state : REFUSED),
  "get-and-touch": (state, _, answer) => (answer === undefined || answer === state ? state : REFUSED),
  set: (state, { value }: { value: string }, answer) => {
    // HTTP tells whether the key was there, memcached does not.
    if (isWriteAnswer(answer) && answer.wrote === "created") return state === null ? value : REFUSED;
    if (isWriteAnswer(answer) && answer.wrote === "exists") return state !== null ? value : REFUSED;
    return settle("stored", answer, value);
  },
  add: (state, { value }: { value: string }, answer) =>
    state === null ? settle("stored", answer, value) : settle("not-stored", answer, state),
  replace: (state, { value }: { value: string }, answer) =>
    state !== null ? settle("stored", answer, value) : settle("not-stored", answer, state),
  append: (state, { value }: { value: string }, answer) =>
    state !== null ? settle("stored", answer, state + value) : settle("not-stored", answer, state),
  prepend: (state, { value }: { value: string }, answer) =>
    state !== null ? settle("stored", answer, value + state) : settle("not-stored", answer, state),
  cas: (state, { expected, value }: { expected: string; value: string }, answer) => {
    if (state === null) return settle("not-found", answer, state);
    return state === expected ? settle("stored", answer, value) : settle("exists", answer, state);
  },
  delete: (state, _, answer) =>
    state === null ? settle("not-found", answer, null) : settle("deleted", answer, null),
  incr: (state, { by }: { by: number }, answer) => {
    if (state === null) return settle("not-found", answer, null);
    const after = String(Number(state) + by);
    return answer === undefined || answer === after ? after : REFUSED;
  },
  // What was appended to or put before the item ends with it.
  expire: (state, { value }: { value: string }) => (state?.includes(value) ? null : state),
};

/** @returns the state after the operation, or REFUSED where a server in `state` would not have said `answer` */
export function step(state: State, operation: Operation, answer: Answer): State | Refused {
  return STEPS[operation.kind](state, operation as never, answer);
}

function isWriteAnswer(answer: Answer): answer is WriteAnswer {
  return typeof answer === "object" && answer !== null;
}
