/**
 * How much userspace takes on at once. Counted are look-ups and writes that wait for the cold tier, and those
 * begun in this turn of the event loop: a turn that reads a whole backlog ends after a bounded amount of work,
 * so that hot answers, which are given in between, never wait for all of it. What is over the bound is refused
 * before anything is done, and may be asked again at once where the client likes: nothing is queued here.
 */
import { type MaybePromise, StoreUnavailable } from "./cold/store.ts";

export const RETRY_AFTER_SECONDS = 1;

export function busyMessage(max: number): string {
  return `${max} operations are under way; try again (cold.maxPending)`;
}

export class Intake {
  readonly max: number;
  /** Refused so far. */
  shed = 0;
  #waiting = 0;
  #begunThisTurn = 0;
  readonly #endTurn = (): void => {
    this.#begunThisTurn = 0;
  };

  /** @param max operations of the cold tier at once */
  constructor(max: number) {
    this.max = max;
  }

  /** @throws StoreUnavailable where that would be one too many */
  run<T>(work: () => MaybePromise<T>): MaybePromise<T> {
    if (this.#waiting + this.#begunThisTurn >= this.max) {
      this.shed++;
      throw new StoreUnavailable(busyMessage(this.max), RETRY_AFTER_SECONDS);
    }
    if (this.#begunThisTurn++ === 0) setImmediate(this.#endTurn);
    const result = work();
    if (!(result instanceof Promise)) return result;
    this.#waiting++;
    return result.finally(() => this.#waiting--);
  }
}
