/**
 * What nodes say to one another (coherence.ts), as JSON. A node is a process; an incarnation of it, `NODE.K`, is
 * what joined for the K-th time, and what is waited for.
 */
import type { Key } from "./store.ts";

/** To all: who says it, the how-manieth broadcast of that incarnation it is, and what. */
export type Broadcast = {
  readonly f: string;
  readonly n: number;
  /** Keys about to be written, each under the number of its write. */
  readonly hold?: readonly (readonly [number, Key])[];
  /** Writes that are over. */
  readonly free?: readonly number[];
  readonly joins?: true;
  /** To oneself: do I hear what I say? */
  readonly echo?: true;
  /** They serve nothing and write nothing any more. */
  readonly gone?: readonly string[];
  readonly expelled?: readonly string[];
};

/**
 * To one. `upTo`: all your broadcasts so far are obeyed. To who joins, `knows`: every write from now on waits for
 * you; `idle`: there will be none before I have joined, which you will hear of.
 */
export type Reply = {
  readonly f: string;
  readonly to: string;
  readonly upTo?: number;
  readonly knows?: true;
  readonly idle?: true;
};

/** Null: whatever else is said on the channel is not ours. */
export function parse<T extends Broadcast | Reply>(text: string): T | null {
  try {
    const message = JSON.parse(text) as T | null;
    return typeof message?.f === "string" ? message : null;
  } catch {
    return null;
  }
}

/** An incarnation's node. */
export function nodeOf(id: string): string {
  return id.slice(0, Math.max(0, id.indexOf(".")));
}
