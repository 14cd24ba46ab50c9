/**
 * `stats detail`: commands by the part of their keys before the first `:`, counted while it is on. Keys without one are
 * not counted. Bounded: memcached's own table grows with every new prefix.
 */
const DELIMITER = ":";
const MAX_PREFIXES = 4_096;

type Counts = { get: number; hit: number; set: number; del: number };

export class PrefixStats {
  isOn = false;
  readonly #counts = new Map<string, Counts>();

  read(key: string, isHit: boolean): void {
    const counts = this.#of(key);
    if (counts === null) return;
    counts.get++;
    if (isHit) counts.hit++;
  }

  stored(key: string): void {
    const counts = this.#of(key);
    if (counts !== null) counts.set++;
  }

  removed(key: string): void {
    const counts = this.#of(key);
    if (counts !== null) counts.del++;
  }

  clear(): void {
    this.#counts.clear();
  }

  *lines(): Iterable<string> {
    for (const [prefix, { get, hit, set, del }] of this.#counts) {
      yield `PREFIX ${prefix} get ${get} hit ${hit} set ${set} del ${del}\r\n`;
    }
  }

  #of(key: string): Counts | null {
    if (!this.isOn) return null;
    const end = key.indexOf(DELIMITER);
    if (end < 0) return null;
    const prefix = key.slice(0, end);
    const known = this.#counts.get(prefix);
    if (known !== undefined) return known;
    if (this.#counts.size >= MAX_PREFIXES) return null;
    const fresh = { get: 0, hit: 0, set: 0, del: 0 };
    this.#counts.set(prefix, fresh);
    return fresh;
  }
}
