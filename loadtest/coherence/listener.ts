/**
 * One protocol's port of one node, as clients know it. A node that gets no processor may leave a request in its
 * socket's buffer for any time; once it has answered one that was sent later, it has read it.
 */

/** Far more answers than come while a call's fate is open; forgetting too early only makes it open longer. */
const MEMORY = 20_000;

export class Listener {
  /** When it answered calls, in the order of the answers; each call's own time grows with it. */
  #heard: { readonly calledMs: number; readonly answeredMs: number }[] = [];

  answered(calledMs: number, answeredMs: number): void {
    const latest = this.#heard.at(-1);
    if (latest === undefined || calledMs > latest.calledMs) this.#heard.push({ calledMs, answeredMs });
    if (this.#heard.length > MEMORY) this.#heard.splice(0, MEMORY / 2);
  }

  /** @returns when it had read all that was sent before `sentMs`; infinite while that is not known */
  readBy(sentMs: number): number {
    const heard = this.#heard;
    let [from, to] = [0, heard.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (heard[middle]!.calledMs > sentMs) to = middle;
      else from = middle + 1;
    }
    return heard[from]?.answeredMs ?? Number.POSITIVE_INFINITY;
  }
}
