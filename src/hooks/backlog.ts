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

/** A connection with bytes that wait. */
export interface Waiting {
  /** It is userspace's turn: hands up what waits, if it still does. */
  cross(): void;
}

export class Backlog {
  readonly #max: number;
  #waiting: Waiting[] = [];
  #crossed = 0;
  #isScheduled = false;

  /** @param max connections that may wait before requests are refused where they can be */
  constructor(max: number) {
    this.#max = max;
  }

  /** Would one more be too many? */
  get full(): boolean {
    return this.#crossed >= CROSSINGS_A_TURN && this.#waiting.length >= this.#max;
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

  /** Runs when the sockets that were ready have been read. */
  #turn(): void {
    this.#isScheduled = false;
    const turn = this.#waiting.splice(0, CROSSINGS_A_TURN);
    // What comes while these cross is behind them, and behind those left.
    this.#crossed = this.#waiting.length > 0 ? CROSSINGS_A_TURN : turn.length;
    for (const connection of turn) connection.cross();
    // Behind what userspace itself has put off until this turn's end.
    if (this.#crossed >= CROSSINGS_A_TURN) this.#schedule();
  }
}
