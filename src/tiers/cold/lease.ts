/**
 * This node's right to serve from its hot tier and to write: it runs for a part of `leaseMs` from the moment before it was asked
 * for, and whoever waits for a node that is lost waits for longer than that. By this machine's monotonic clock.
 */

/** How a lease divides: others wait suspect + trust + margin for a node that is lost, which is below 1. */
const SUSPECT_PART = 0.15;
const TRUST_PART = 0.7;
const MARGIN_PART = 0.1;

export class Lease {
  /** A node that has not confirmed for so long is suspected. */
  readonly suspectMs: number;
  /** How long a renewal lasts. */
  readonly trustMs: number;
  /** When another node's last renewal has certainly run out. */
  readonly expiryMs: number;
  /** When it ends, unless it is renewed. */
  untilMs = Number.NEGATIVE_INFINITY;
  readonly #now: () => number;
  readonly #trusted: (isTrusted: boolean) => void;
  #lapsed = true;

  /** @param trusted told whenever that changes, false being where it begins */
  constructor(leaseMs: number, monotonicMs: () => number, trusted: (isTrusted: boolean) => void) {
    this.suspectMs = leaseMs * SUSPECT_PART;
    this.trustMs = leaseMs * TRUST_PART;
    this.expiryMs = this.trustMs + leaseMs * MARGIN_PART;
    this.#now = monotonicMs;
    this.#trusted = trusted;
  }

  get runs(): boolean {
    return this.#now() < this.untilMs;
  }

  /** Renewed. @param askedMs before it was asked for */
  extend(askedMs: number): void {
    this.untilMs = Math.max(this.untilMs, askedMs + this.trustMs);
    if (!this.#lapsed || !this.runs) return;
    this.#lapsed = false;
    this.#trusted(true);
  }

  /** Ends trust when it has run out. */
  check(): void {
    if (!this.runs) this.#lapse();
  }

  drop(): void {
    this.untilMs = Number.NEGATIVE_INFINITY;
    this.#lapse();
  }

  #lapse(): void {
    if (this.#lapsed) return;
    this.#lapsed = true;
    this.#trusted(false);
  }
}
