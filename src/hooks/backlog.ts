/**
 * What has passed and waits for userspace. The programs see all that has arrived before userspace works on it, as
 * softirq runs before processes do: a hit waits for the few crossings of one turn of the event loop, not for
 * everything that arrived before it. Connections cross in the order they came.
 */

/**
 * Crossings in a turn, then the sockets are looked at again. Few, because a hit waits for them; not one, because a
 * turn has its price, too.
 */
const CROSSINGS_A_TURN = 16;

/** Refusing takes time, too, that hits wait for. */
const REFUSALS_A_TURN = 4 * CROSSINGS_A_TURN;

/** A connection with bytes that wait. */
export interface Waiting {
  /** It is userspace's turn: hands up what waits, if it still does. */
  cross(): void;
}

export class Backlog {
  readonly #max: number;
  #waiting: Waiting[] = [];
  #crossed = 0;
  #refused = 0;
  #isScheduled = false;
  /** When the last turn ended, if it left some waiting; else 0. */
  #endMs = 0;

  /** @param max connections that may wait before requests are refused where they can be */
  constructor(max: number) {
    this.#max = max;
  }

  /** Is one more to be refused? If so, it is counted; what is over a turn's refusals waits. */
  refuses(): boolean {
    if (this.#crossed < CROSSINGS_A_TURN || this.#waiting.length < this.#max) return false;
    if (this.#refused >= REFUSALS_A_TURN) return false;
    this.#refused++;
    return true;
  }

  /** Connections that wait. */
  get length(): number {
    return this.#waiting.length;
  }

  /** May bytes cross at once? If so, they are counted as crossing; if not, the connection has to wait(). */
  admits(): boolean {
    if (this.#crossed >= CROSSINGS_A_TURN) return false;
    // Counted over turns where few cross, so that those do not pay for the end of each.
    if (++this.#crossed === CROSSINGS_A_TURN) this.#schedule();
    return true;
  }

  wait(connection: Waiting): void {
    this.#waiting.push(connection);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#turn());
  }

  /**
   * Runs when the sockets that were ready have been read. Userspace gets as long as the hook took since it last
   * had its turn, and the few crossings in any case: as with ksoftirqd, neither side starves the other.
   */
  #turn(): void {
    this.#isScheduled = false;
    this.#refused = 0;
    const startMs = performance.now();
    const untilMs = this.#endMs > 0 ? 2 * startMs - this.#endMs : startMs;
    // What comes while these cross is behind them, and behind those left.
    this.#crossed = CROSSINGS_A_TURN;
    const waiting = this.#waiting;
    let crossed = 0;
    while (
      crossed < waiting.length &&
      (crossed < CROSSINGS_A_TURN || (crossed < this.#max && performance.now() < untilMs))
    ) {
      waiting[crossed++]?.cross();
    }
    waiting.splice(0, crossed);
    const isBehind = waiting.length > 0;
    this.#crossed = isBehind ? CROSSINGS_A_TURN : Math.min(crossed, CROSSINGS_A_TURN);
    // While nothing waits, the time between turns is nobody's.
    this.#endMs = isBehind ? performance.now() : 0;
    // Behind what userspace itself has put off until this turn's end.
    if (this.#crossed >= CROSSINGS_A_TURN) this.#schedule();
  }
}
