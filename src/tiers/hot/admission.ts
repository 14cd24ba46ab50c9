/**
 * Which cold reads may be filled. The default admits a key at its second read within a window, so that
 * one-off keys do not push out hot ones. Memory is bounded: a direct-mapped table of (hash, time), where a
 * key may lose its first read to another one, and is then merely admitted a read later.
 */
export const ADMISSION_RULES = ["second-request", "always", "never"] as const;
export type AdmissionRule = (typeof ADMISSION_RULES)[number];

export class Admission {
  readonly rule: AdmissionRule;
  readonly #windowMs: number;
  readonly #hashes: Uint32Array;
  readonly #times: Uint32Array;
  readonly #shift: number;

  /** @param slots a power of two, at least 2 */
  constructor(rule: AdmissionRule, windowMs: number, slots = 65_536) {
    this.rule = rule;
    this.#windowMs = windowMs;
    const used = rule === "second-request" ? slots : 2;
    this.#hashes = new Uint32Array(used);
    this.#times = new Uint32Array(used);
    this.#shift = 32 - Math.log2(used);
  }

  /** A read of the key with this hash at `nowMs`: may it be filled? */
  admits(hash: number, nowMs: number): boolean {
    if (this.rule !== "second-request") return this.rule === "always";
    // Fibonacci hashing: the map's slot is the hash modulo its entries; this table must not repeat it.
    const at = Math.imul(hash, 0x9e3779b1) >>> this.#shift;
    const now = nowMs >>> 0 || 1; // 0 marks a slot never used
    const time = this.#times[at]!;
    const again = time !== 0 && this.#hashes[at] === hash && (now - time) >>> 0 <= this.#windowMs;
    this.#hashes[at] = hash;
    this.#times[at] = now;
    return again;
  }
}
