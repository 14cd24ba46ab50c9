/** One broadcast of writes to come, which every other node must confirm before they go on. */
import type { Key } from "./store.ts";

export type Round = {
  /** The broadcast's number. */
  n: number;
  readonly holds: [number, Key][];
  /** Who has yet to confirm. */
  readonly missing: Set<string>;
  readonly done: Promise<void>;
  readonly pass: () => void;
  readonly fail: (why: Error) => void;
  timer: NodeJS.Timeout | null;
};

export function newRound(): Round {
  let pass = () => {};
  let fail: (why: Error) => void = () => {};
  const done = new Promise<void>((resolve, reject) => {
    pass = resolve;
    fail = reject;
  });
  // Who waits for it hears of a failure; it may be that nobody does any more.
  done.catch(() => {});
  return { n: 0, holds: [], missing: new Set(), done, pass, fail, timer: null };
}

/** A node confirmed, or need not any more. @returns whether it was the last that was waited for */
export function confirm({ missing }: Round, id: string): boolean {
  return missing.delete(id) && missing.size === 0;
}
