/**
 * One key, one reader that fills and one writer, as a state machine small enough to see whole. Steps of
 * each actor come in order; how the two orders interleave is the player's choice.
 */
export type Race = {
  readonly checked: boolean;
  readonly cold: "old" | "new";
  readonly hot: "old" | "new" | null;
  readonly generation: number;
  readonly writers: number;
  readonly ticket: number | null;
  readonly readerHolds: "old" | "new" | null;
  readonly readerStep: number;
  readonly writerStep: number;
  readonly verdict: "open" | "stale" | "safe";
  readonly note: string;
};

export type Action = {
  readonly name: "ticket" | "read-cold" | "fill" | "begin-write" | "store" | "acknowledge";
  readonly actor: "reader" | "writer";
  readonly order: number;
  readonly title: string;
};

export const ACTIONS: readonly Action[] = [
  { name: "ticket", actor: "reader", order: 0, title: "1 miss; note the generation" },
  { name: "read-cold", actor: "reader", order: 1, title: "2 read the cold tier" },
  { name: "fill", actor: "reader", order: 2, title: "3 fill the hot tier" },
  { name: "begin-write", actor: "writer", order: 0, title: "1 invalidate" },
  { name: "store", actor: "writer", order: 1, title: "2 store in the cold tier" },
  { name: "acknowledge", actor: "writer", order: 2, title: "3 invalidate, acknowledge" },
];

export function initialRace(checked: boolean): Race {
  return {
    checked,
    cold: "old",
    hot: null,
    generation: 7,
    writers: 0,
    ticket: null,
    readerHolds: null,
    readerStep: 0,
    writerStep: 0,
    verdict: "open",
    note: "Both copies agree: the hot tier has none.",
  };
}

export function enabled(race: Race, action: Action): boolean {
  return (action.actor === "reader" ? race.readerStep : race.writerStep) === action.order;
}

const APPLY: Readonly<Record<Action["name"], (race: Race) => Partial<Race>>> = {
  ticket: (r) => ({ ticket: r.generation, note: `The reader missed and noted generation ${r.generation}.` }),
  "read-cold": (r) => ({ readerHolds: r.cold, note: `The cold tier answered: ${r.cold}.` }),
  fill: fill,
  "begin-write": (r) => ({
    hot: null,
    generation: r.generation + 1,
    writers: r.writers + 1,
    note: "The writer invalidated the slot and counts as in flight.",
  }),
  store: () => ({ cold: "new", note: "The cold tier has the new value; it is not acknowledged yet." }),
  // Without the check the writer of this lesson does what BMC's does: it invalidates once, at the start.
  acknowledge: (r) => ({
    ...(r.checked ? { hot: null } : {}),
    generation: r.generation + 1,
    writers: r.writers - 1,
    note: "The writer is told: stored.",
  }),
};

function fill(r: Race): Partial<Race> {
  if (r.checked && (r.ticket !== r.generation || r.writers > 0)) {
    const why =
      r.writers > 0 ? "a write is in flight" : `generation is ${r.generation}, the ticket says ${r.ticket}`;
    return { note: `The fill is refused: ${why}.` };
  }
  return { hot: r.readerHolds, note: `The hot tier now holds the ${r.readerHolds} value.` };
}

/** @returns the race after one enabled action */
export function step(race: Race, action: Action): Race {
  const moved = {
    ...race,
    ...APPLY[action.name](race),
    readerStep: race.readerStep + (action.actor === "reader" ? 1 : 0),
    writerStep: race.writerStep + (action.actor === "writer" ? 1 : 0),
  };
  return judge(moved);
}

function judge(race: Race): Race {
  const acknowledged = race.writerStep === 3;
  if (acknowledged && race.hot === "old") {
    return {
      ...race,
      verdict: "stale",
      note: `${race.note} STALE: the write is acknowledged, and every reader now gets the old value.`,
    };
  }
  if (acknowledged && race.readerStep === 3) {
    return { ...race, verdict: "safe", note: `${race.note} Safe: no reader can get the old value any more.` };
  }
  return race;
}
