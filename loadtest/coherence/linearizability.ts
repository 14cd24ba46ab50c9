/**
 * Is there an order of a key's operations, each somewhere between its call and its return, in which every
 * answer is what a single sequential machine would have said? Decided by just-in-time linearization (Lowe
 * 2017, after Wing & Gong 1993): kept are all worlds that agree with what was heard so far, each with the
 * pending operations it has already carried out. An operation that returns must be done by then, so a world
 * in which it is not goes on in every order of what is pending. No world left: no order exists. Keys are
 * judged one by one, which is enough (Herlihy & Wing 1990 §3.3, locality).
 *
 * Events wait until the answers of the operations they name are known; check() goes as far as they are.
 * Memory is bounded by what is pending at once, not by the history's length.
 */
import { type Answer, type Operation, REFUSED, type State, step } from "./model.ts";

export type Call = {
  readonly operation: Operation;
  /** open: the answer may still come. lost: nobody heard it. refused: it changed nothing, whatever became of it. */
  outcome: "open" | "answered" | "lost" | "refused";
  answer: Answer;
  /** Its bit in a world's `done` while it is pending. */
  slot: number;
};

/** One way the past may have been. `done` has a bit for each pending operation it has carried out. */
type World = { readonly state: State; readonly done: number };
/** `end` of a lost call: from here on it takes effect no more, if it ever did. */
type Event = { readonly at: "call" | "return" | "end"; readonly call: Call };

export const PENDING_MAX = 31;
/** So many last events are shown beside a violation. */
const TAIL = 40;

export class KeyHistory {
  readonly key: string;
  /** Answered operations that were judged. */
  checked = 0;
  /** The first answer that no order explains, behind what came before it; null while all is well. */
  violation: string | null = null;
  #worlds: readonly World[];
  #events: Event[] = [];
  readonly #pending: (Call | null)[] = [];
  readonly #tail: string[] = [];

  constructor(key: string, initial: State) {
    this.key = key;
    this.#worlds = [{ state: initial, done: 0 }];
  }

  /** From now on it may take effect. */
  call(operation: Operation): Call {
    const call: Call = { operation, outcome: "open", answer: undefined, slot: -1 };
    this.#events.push({ at: "call", call });
    return call;
  }

  /** It has taken effect by now, and was answered so. */
  return(call: Call, answer: Answer): void {
    call.outcome = "answered";
    call.answer = answer;
    this.#events.push({ at: "return", call });
  }

  /** Its answer will not come; it may still take effect, until end(). */
  lose(call: Call): void {
    call.outcome = "lost";
  }

  /** A lost call takes effect no more, if it ever did. */
  end(call: Call): void {
    this.#events.push({ at: "end", call });
  }

  /** It changed nothing and never will: a read nobody heard of, say. */
  refuse(call: Call): void {
    call.outcome = "refused";
  }

  /** Judges all events up to the first call whose answer may still come. @throws RangeError past PENDING_MAX */
  check(): void {
    const open = this.#events.findIndex(({ at, call }) => at === "call" && call.outcome === "open");
    const known = open < 0 ? this.#events : this.#events.slice(0, open);
    this.#events = open < 0 ? [] : this.#events.slice(open);
    for (const { at, call } of known) {
      if (call.outcome === "refused") continue;
      this.#note(at, call);
      if (at === "call") this.#take(call);
      else if (at === "return") this.#judge(call);
      else this.#forget(call);
    }
  }

  #take(call: Call): void {
    const free = this.#pending.indexOf(null);
    call.slot = free < 0 ? this.#pending.length : free;
    if (call.slot >= PENDING_MAX) {
      throw new RangeError(`key ${this.key} has ${PENDING_MAX} operations pending at once; use more keys`);
    }
    this.#pending[call.slot] = call;
  }

  #judge(call: Call): void {
    this.#worlds = this.#worldsWith(call);
    this.#pending[call.slot] = null;
    this.checked++;
    if (this.#worlds.length > 0) return;
    this.violation ??= `no order of its operations explains what ${this.key} answered last:\n  ${this.#tail.join("\n  ")}`;
    // What follows is judged anew, from what was seen.
    const seen = typeof call.answer === "string" ? call.answer : null;
    this.#worlds = [{ state: seen, done: 0 }];
  }

  #forget(call: Call): void {
    const bit = 1 << call.slot;
    const without = this.#worlds.map(({ state, done }) => ({ state, done: done & ~bit }));
    this.#worlds = distinct([...this.#worldsWith(call), ...without]);
    this.#pending[call.slot] = null;
  }

  /** The worlds in which `wanted` is done, reached by doing what is pending in any order; its bit cleared. */
  #worldsWith(wanted: Call): readonly World[] {
    const wantedBit = 1 << wanted.slot;
    const found: World[] = [];
    const seen = new Set<string>();
    const visit = (world: World): void => {
      if ((world.done & wantedBit) !== 0) {
        found.push({ state: world.state, done: world.done & ~wantedBit });
        return;
      }
      const name = nameOf(world);
      if (seen.has(name)) return;
      seen.add(name);
      for (const call of this.#pending) {
        if (call === null || (world.done & (1 << call.slot)) !== 0) continue;
        const state = step(world.state, call.operation, call.answer);
        if (state !== REFUSED) visit({ state, done: world.done | (1 << call.slot) });
      }
    };
    for (const world of this.#worlds) visit(world);
    return distinct(found);
  }

  #note(at: Event["at"], { slot, operation, answer }: Call): void {
    const { kind, ...rest } = operation;
    const what = [kind, ...Object.values(rest)].join(" ");
    const name = at === "call" ? "" : `#${slot} `;
    this.#tail.push(`${at.padEnd(6)} ${name}${what}${at === "return" ? ` -> ${show(answer)}` : ""}`);
    if (this.#tail.length > TAIL) this.#tail.shift();
  }
}

function nameOf({ state, done }: World): string {
  return `${done} ${state}`;
}

function distinct(worlds: readonly World[]): readonly World[] {
  return worlds.length < 2 ? worlds : [...new Map(worlds.map((world) => [nameOf(world), world])).values()];
}

function show(answer: Answer): string {
  if (typeof answer === "object" && answer !== null) return answer.wrote;
  return answer === undefined ? "?" : String(answer);
}
