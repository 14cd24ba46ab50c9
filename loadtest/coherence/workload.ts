/** What a coherence run does: which operation on which key next, drawn from a seed. */
import { Prng } from "../../src/sim/prng.ts";
import type { Operation } from "./model.ts";
import { modelName, recordOf } from "./values.ts";

/** What a key is used for; its name begins with it. */
export const KEY_KINDS = ["plain", "expiring", "counter"] as const;
export type KeyKind = (typeof KEY_KINDS)[number];

type Weights = readonly (readonly [kind: Operation["kind"], weight: number])[];

/** Mostly reads, so that hot answers stand between all writes. A cas asks for the value first: a read, too. */
const WEIGHTS: Readonly<Record<KeyKind, Weights>> = {
  plain: [
    ["read", 400],
    ["get-and-touch", 2],
    ["set", 10],
    ["add", 3],
    ["replace", 3],
    ["append", 2],
    ["prepend", 1],
    ["cas", 4],
    ["delete", 2],
  ],
  expiring: [
    ["read", 400],
    ["set", 12],
    ["append", 2],
    ["delete", 2],
  ],
  counter: [
    ["read", 400],
    ["incr", 24],
    ["set", 4],
    ["delete", 2],
  ],
};

/** Of a record; the last is too big for the hot tier, and 950 for a datagram's room after an append. */
const SIZES = [8, 20, 40, 100, 200, 400, 700, 950, 1_200];
const SECONDS_TO_LIVE = [1, 2];

export type Drawn = {
  readonly operation: Operation;
  readonly body: string;
  readonly ttlSeconds: number;
};

export class Workload {
  readonly keys: readonly string[];
  readonly #writer: number;
  readonly #prng: Prng;
  #writes = 0;

  /** @param writer tells the records of one client from another's */
  constructor(seed: number, writer: number, keysOfEach: number, kinds: readonly KeyKind[] = KEY_KINDS) {
    this.#writer = writer;
    this.#prng = new Prng(seed, writer);
    this.keys = kinds.flatMap((kind) => Array.from({ length: keysOfEach }, (_, i) => `${kind}-${i}`));
  }

  /** The first keys of each kind are asked for most. */
  key(): string {
    const { keys } = this;
    return keys[Math.min(this.#prng.below(keys.length), this.#prng.below(keys.length))] as string;
  }

  /** A key's first write. */
  first(key: string): Drawn {
    return this.#draw("set", key.split("-")[0] as KeyKind);
  }

  /** @param says what the client's protocol can say; anything else is drawn again */
  next(key: string, says: ReadonlySet<Operation["kind"]>): Drawn {
    const keyKind = key.split("-")[0] as KeyKind;
    for (;;) {
      const kind = this.#weighted(WEIGHTS[keyKind]);
      if (says.has(kind)) return this.#draw(kind, keyKind);
    }
  }

  #draw(kind: Operation["kind"], keyKind: KeyKind): Drawn {
    if (kind === "incr") return plain({ kind, by: 1 + this.#prng.below(9) });
    if (kind === "read" || kind === "get-and-touch" || kind === "delete") return plain({ kind });
    const name = `${this.#writer}.${++this.#writes}`;
    if (keyKind === "counter") {
      const number = String(1_000_000 + this.#prng.below(1_000_000));
      return { operation: { kind: "set", value: number }, body: number, ttlSeconds: 0 };
    }
    const small = kind === "append" || kind === "prepend";
    const size = small ? 20 : (SIZES[this.#prng.below(SIZES.length)] as number);
    const value = modelName(name);
    const operation: Operation =
      kind === "cas" ? { kind, expected: "", value } : ({ kind, value } as Operation);
    const isEnding = keyKind === "expiring" && kind === "set" && this.#prng.below(2) === 0;
    const ttlSeconds = isEnding ? (SECONDS_TO_LIVE[this.#prng.below(SECONDS_TO_LIVE.length)] as number) : 0;
    return { operation, body: recordOf(name, size), ttlSeconds };
  }

  #weighted(weights: Weights): Operation["kind"] {
    let draw = this.#prng.below(weights.reduce((sum, [, weight]) => sum + weight, 0));
    for (const [kind, weight] of weights) {
      draw -= weight;
      if (draw < 0) return kind;
    }
    throw new Error("weights are exhausted");
  }
}

function plain(operation: Operation): Drawn {
  return { operation, body: "", ttlSeconds: 0 };
}
