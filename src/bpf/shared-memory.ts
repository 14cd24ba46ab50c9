/**
 * One memory for the machines of several threads, and the directory at its start that lets them agree on
 * what lies where. Who asks first for an area lays it out and initialises it, under the directory's lock;
 * who asks later for the same owner, name and turn gets the same address. Areas are multiples of 64 bytes: no two
 * threads share a cache line by accident. All sizes and addresses are kept in such units, so that 4 GiB fit.
 *
 * Page 0 stays unused (NULL); the directory fills page 1, in words:
 *   [lock][next free unit][rows used] … from byte 64 on, 32 bytes a row: [owner][turn][name hash x 2][units][unit]
 */
import { LayoutMismatch, OutOfMemory, PAGE_BYTES } from "./memory-limits.ts";

/** An owner of areas: 0 is all machines, n + 1 the machine of CPU n. */
export type Owner = number;
export const EVERYONE: Owner = 0;

const UNIT_BYTES = 64;
const WORD = { lock: 0, nextUnit: 1, rows: 2 } as const;
const ROW = { owner: 0, turn: 1, nameLow: 2, nameHigh: 3, units: 4, unit: 5 } as const;
const ROW_WORDS = 8;
const FIRST_ROW_WORD = 16;
const DIRECTORY_WORD = PAGE_BYTES >> 2;
const MAX_ROWS = (PAGE_BYTES / 4 - FIRST_ROW_WORD) / ROW_WORDS;
const FIRST_FREE_UNIT = (2 * PAGE_BYTES) / UNIT_BYTES;
/** The directory's lock is held for microseconds, by code that calls nothing slow. */
const TURNS_BEFORE_GIVING_UP = 1e9;

/** A memory that can be posted to other threads. @throws RangeError where the host has none to give */
export function createSharedMemory(): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial: 4, maximum: 65_536, shared: true });
}

export class Directory {
  readonly #memory: WebAssembly.Memory;
  readonly #owner: Owner;
  readonly #limitBytes: number;
  /** How often this machine asked, by owner and name: equal names are told apart by their turn. */
  readonly #turns = new Map<string, number>();

  constructor(memory: WebAssembly.Memory, owner: Owner, limitBytes: number) {
    this.#memory = memory;
    this.#owner = owner;
    this.#limitBytes = limitBytes;
  }

  /**
   * @param init called with the zeroed area's address by whoever is first, before anyone else gets it
   * @throws OutOfMemory; LayoutMismatch when another machine has an area of this name in another size
   */
  claim(owner: Owner, byteLength: number, what: string, init?: (address: number) => void): number {
    const key = `${owner} ${what}`;
    const turn = this.#turns.get(key) ?? 0;
    this.#turns.set(key, turn + 1);
    const units = Math.ceil(byteLength / UNIT_BYTES);
    return this.#locked((words) => {
      const known = findRow(words, owner, turn, what);
      if (known >= 0) {
        const there = words[known + ROW.units]! >>> 0;
        if (there !== units) {
          throw new LayoutMismatch(
            `${what} has ${units * UNIT_BYTES} bytes here and ${there * UNIT_BYTES} in the machine that laid it out: all machines over one memory must load the same programs and maps`,
          );
        }
        return (words[known + ROW.unit]! >>> 0) * UNIT_BYTES;
      }
      const unit = words[DIRECTORY_WORD + WORD.nextUnit]! >>> 0 || FIRST_FREE_UNIT;
      const count = words[DIRECTORY_WORD + WORD.rows]!;
      this.#makeRoom((unit + units) * UNIT_BYTES, byteLength, unit * UNIT_BYTES, what, count);
      const address = unit * UNIT_BYTES;
      init?.(address);
      const row = DIRECTORY_WORD + FIRST_ROW_WORD + count * ROW_WORDS;
      const [low, high] = nameHashes(what);
      const fresh = new Int32Array(this.#memory.buffer);
      fresh.set([owner, turn, low, high, units, unit], row);
      fresh[DIRECTORY_WORD + WORD.nextUnit] = unit + units;
      // Last: a row counts once it is whole.
      Atomics.store(fresh, DIRECTORY_WORD + WORD.rows, count + 1);
      return address;
    });
  }

  /** Address of an area somebody laid out, or 0. */
  find(owner: Owner, what: string): number {
    return this.#locked((words) => {
      const row = findRow(words, owner, 0, what);
      return row < 0 ? 0 : (words[row + ROW.unit]! >>> 0) * UNIT_BYTES;
    });
  }

  /** Frees the directory's lock if a thread that has gone holds it: what it began was never counted. */
  release(owner: Owner): void {
    const words = new Int32Array(this.#memory.buffer, 0, 2 * DIRECTORY_WORD);
    Atomics.compareExchange(words, DIRECTORY_WORD + WORD.lock, owner, 0);
  }

  #locked<T>(work: (words: Int32Array) => T): T {
    const words = new Int32Array(this.#memory.buffer, 0, 2 * DIRECTORY_WORD);
    const lock = DIRECTORY_WORD + WORD.lock;
    for (let turns = 0; Atomics.compareExchange(words, lock, 0, this.#owner) !== 0; turns++) {
      if (turns === TURNS_BEFORE_GIVING_UP) throw new Error("the memory's directory stays locked");
    }
    try {
      return work(words);
    } finally {
      Atomics.store(words, lock, 0);
    }
  }

  #makeRoom(end: number, byteLength: number, used: number, what: string, rows: number): void {
    if (end > this.#limitBytes || rows === MAX_ROWS) {
      throw new OutOfMemory(
        `${what} needs ${byteLength} bytes, but the machine's memory holds ${this.#limitBytes} and ${used} are in use. Lower max_entries or the value size.`,
      );
    }
    const missing = Math.ceil((end - this.#memory.buffer.byteLength) / PAGE_BYTES);
    if (missing <= 0) return;
    try {
      this.#memory.grow(missing);
    } catch (cause) {
      throw new OutOfMemory(`${what} needs ${byteLength} bytes, but this process could not get them.`, {
        cause,
      });
    }
  }
}

function findRow(words: Int32Array, owner: Owner, turn: number, what: string): number {
  const [low, high] = nameHashes(what);
  const count = words[DIRECTORY_WORD + WORD.rows]!;
  for (let i = 0; i < count; i++) {
    const row = DIRECTORY_WORD + FIRST_ROW_WORD + i * ROW_WORDS;
    if (
      words[row + ROW.nameLow] === low &&
      words[row + ROW.nameHigh] === high &&
      words[row + ROW.owner] === owner &&
      words[row + ROW.turn] === turn
    ) {
      return row;
    }
  }
  return -1;
}

/** FNV-1a from two starting points: 64 bits in all. */
function nameHashes(what: string): [number, number] {
  let low = 0x811c9dc5 | 0;
  let high = 0x2b3f1d07 | 0;
  for (let i = 0; i < what.length; i++) {
    low = Math.imul(low ^ what.charCodeAt(i), 0x01000193);
    high = Math.imul(high ^ (what.charCodeAt(i) + i), 0x01000193);
  }
  return [low, high];
}
