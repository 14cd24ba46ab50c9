/**
 * One key's history with what time alone brings about: items that end, and calls without an answer that take
 * effect no more.
 */
import { type Call, KeyHistory } from "./linearizability.ts";
import type { Listener } from "./listener.ts";

/** Wall clocks are read at slightly different moments, and expiry counts in milliseconds. */
const END_SLACK_MS = 15;
/** Once its node has read it, a call takes effect within this time or never: longer than any deadline of the service. */
const LOST_MS = 6_000;

/** To be told when a write was done at the latest. */
export type Written = (doneMs: number) => void;
type Lost = {
  readonly call: Call;
  readonly atMs: number;
  readonly by: Listener;
  readonly written: Written | null;
};
type Due = { readonly atMs: number; readonly happen: () => void };

export class TimedKey {
  readonly history: KeyHistory;
  /** In the order of their time. */
  #due: Due[] = [];
  #lost: Lost[] = [];

  constructor(key: string) {
    this.history = new KeyHistory(key, null);
  }

  /** To be called before each event: what is due by now comes first. */
  advance(nowMs: number): void {
    if (this.#lost.length > 0) {
      const [over, open] = [[] as Lost[], [] as Lost[]];
      for (const lost of this.#lost) {
        (nowMs > lost.by.readBy(lost.atMs) + LOST_MS ? over : open).push(lost);
      }
      for (const { call, written } of over) {
        this.history.end(call);
        written?.(nowMs);
      }
      this.#lost = open;
    }
    while (this.#due.length > 0 && this.#due[0]!.atMs <= nowMs) this.#due.shift()!.happen();
  }

  /** No answer will come; the call takes effect until its node is known to have read it, and a while longer. */
  lose(call: Call, atMs: number, by: Listener, written: Written | null): void {
    this.history.lose(call);
    this.#lost.push({ call, atMs, by, written });
  }

  /**
   * The item that a call would write as `value` may end from its time to live after the call on: the write may be
   * done long before its answer comes.
   */
  mayEnd(value: string, calledMs: number, ttlMs: number): Written {
    let ending: Call | null = null;
    let untilMs = Number.POSITIVE_INFINITY;
    const finish = (): void => {
      if (ending === null || untilMs === Number.POSITIVE_INFINITY) return;
      const over = ending;
      this.#schedule(untilMs, () => this.history.return(over, undefined));
    };
    this.#schedule(calledMs + ttlMs - END_SLACK_MS, () => {
      ending = this.history.call({ kind: "expire", value });
      finish();
    });
    return (doneMs) => {
      untilMs = doneMs + ttlMs + END_SLACK_MS;
      finish();
    };
  }

  #schedule(atMs: number, happen: () => void): void {
    this.#due.push({ atMs, happen });
    this.#due.sort((a, b) => a.atMs - b.atMs);
  }
}
