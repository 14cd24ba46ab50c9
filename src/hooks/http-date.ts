/**
 * The Date a hot answer carries: userspace writes it into the `http_date` map, at most once a second and
 * only while there is traffic, as Node caches its own.
 */
import type { LinearMemory } from "../bpf/memory.ts";

export class HttpDate {
  readonly #memory: LinearMemory;
  /** 0: the programs have no such map. */
  readonly #address: number;
  #fresh = false;
  readonly #expire = (): void => {
    this.#fresh = false;
  };

  constructor(memory: LinearMemory, address: number) {
    this.#memory = memory;
    this.#address = address;
  }

  /** Call before programs run. @returns true once a second */
  refresh(): boolean {
    if (this.#fresh) return false;
    const now = new Date();
    const text = now.toUTCString();
    const { bytes } = this.#memory;
    if (this.#address !== 0) {
      for (let i = 0; i < text.length; i++) bytes[this.#address + i] = text.charCodeAt(i);
    }
    this.#fresh = true;
    setTimeout(this.#expire, 1000 - now.getMilliseconds()).unref();
    return true;
  }
}
