/**
 * The event queue: a winner tree over a fixed set of actors (cores, arrival sources, clients), each with
 * at most one pending event. Rescheduling or cancelling an actor, as preemption does all the time, is one
 * update of log2(actors) steps, with no stale entry left behind and no object per event. Equal times go
 * to the lower actor number, so runs repeat exactly.
 */
export const NEVER = Number.POSITIVE_INFINITY;

export class EventQueue {
  /** Leaves: time of each actor's event. Integer picoseconds, exact up to 2^53 (2.5 hours). */
  readonly #time: Float64Array;
  /** Node i holds the winning actor of its subtree; children 2i and 2i+1; leaves from `#base`. */
  readonly #winner: Int32Array;
  readonly #base: number;

  constructor(actors: number) {
    let base = 1;
    while (base < actors) base *= 2;
    this.#base = base;
    this.#time = new Float64Array(base).fill(NEVER);
    this.#winner = new Int32Array(base * 2);
    for (let i = 0; i < base; i++) this.#winner[base + i] = i;
    for (let i = base - 1; i >= 1; i--) this.#winner[i] = this.#winner[2 * i]!;
  }

  /** The actor whose event is next. */
  get next(): number {
    return this.#winner[1]!;
  }
  /** Time of the next event, NEVER if none. */
  get nextTime(): number {
    return this.#time[this.#winner[1]!]!;
  }
  timeOf(actor: number): number {
    return this.#time[actor]!;
  }

  set(actor: number, time: number): void {
    const times = this.#time;
    const winner = this.#winner;
    times[actor] = time;
    let node = (this.#base + actor) >> 1;
    while (node >= 1) {
      const left = winner[2 * node]!;
      const right = winner[2 * node + 1]!;
      winner[node] = times[right]! < times[left]! ? right : left;
      node >>= 1;
    }
  }

  cancel(actor: number): void {
    this.set(actor, NEVER);
  }
}
