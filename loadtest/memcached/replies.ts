/**
 * Counts the answers in a stream of memcached replies, at any split: one for each END, STORED or error
 * line. Values are skipped by their length, so that their bytes are never taken for lines.
 */
export type ReplyCounts = { answers: number; values: number; errors: number };

export class ReplyScanner {
  /** Bytes of a value, with its line end, still to skip. */
  #skip = 0;
  #line = "";

  /** Forgets an answer whose rest was lost. */
  reset(): void {
    this.#skip = 0;
    this.#line = "";
  }

  /** Adds what the chunk completes to `into`. */
  scan(chunk: Buffer, into: ReplyCounts): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#skip > 0) {
        const take = Math.min(this.#skip, chunk.length - at);
        this.#skip -= take;
        at += take;
        continue;
      }
      const end = chunk.indexOf(10, at);
      if (end < 0) {
        this.#line += chunk.toString("latin1", at);
        return;
      }
      // "END\r\n", by far the most frequent: no string is made.
      if (this.#line === "" && end - at === 4 && chunk[at] === 0x45 && chunk[at + 1] === 0x4e) into.answers++;
      else this.#take(this.#line + chunk.toString("latin1", at, end), into);
      this.#line = "";
      at = end + 1;
    }
  }

  #take(line: string, into: ReplyCounts): void {
    if (line.startsWith("VALUE ")) {
      into.values++;
      this.#skip = Number.parseInt(line.slice(line.lastIndexOf(" ", line.length - 1) + 1), 10) + 2;
      return;
    }
    into.answers++;
    if (line.includes("ERROR")) into.errors++;
  }
}
