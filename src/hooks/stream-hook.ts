/**
 * The sk_skb hook before a TCP server, whatever its protocol: one program pair for all its connections, the
 * accounts of what it answered, and its end by a fault. Who owns the listening socket opens connections here.
 */
import type { Socket } from "node:net";
import type { Fault } from "../bpf/fault.ts";
import type { RequestSampler } from "../metrics/request-sampler.ts";
import { CROSSING_INDEX } from "../tiers/crossing.ts";
import { REASON_NAMES, RUN_REASONS } from "../tiers/hot/run-info.ts";
import { Backlog } from "./backlog.ts";
import type { Meter } from "./meter.ts";
import { ReplyBatch } from "./reply-batch.ts";
import { type ConnectionHost, StreamConnection, type Upper } from "./stream-connection.ts";
import type { StreamPrograms } from "./stream-programs.ts";

/**
 * Counts of one hit that are the same each time, by protocol. The JIT inlines look-ups; copied bytes are
 * priced whole, so the instructions of the loop that copies them are taken off.
 */
export type HitFacts = {
  readonly arrayLookups: number;
  readonly helperCalls: number;
  readonly locks: number;
  /** Bytes of a reply beside the value. */
  readonly replyHeadBytes: number;
  readonly copyInstructionsPerByte: number;
};

export type StreamHookOptions = {
  readonly programs: StreamPrograms;
  readonly meter: Meter;
  readonly hitFacts: HitFacts;
  /** Monotonic clock in nanoseconds; fractions welcome. */
  readonly nowNs: () => number;
  readonly splitTimeoutMs: number;
  /** Connections that may wait for userspace before look-ups are refused here, and what those are told. */
  readonly maxWaiting: number;
  readonly refusal: Buffer;
  /** Null: no hit is ever kept to be shown. */
  readonly sampler: RequestSampler | null;
  readonly onFault: (fault: Fault) => void;
  /** Called before the programs see what has arrived: empties the hot tier where it may not be served from. */
  readonly guard?: (() => void) | undefined;
  /** Told of bytes that came in, and of those answered here. */
  readonly onBytes?: (received: number, answered: number) => void;
};

const TIMED_A_SECOND = 1_000;
const SAMPLE = 8;

export class StreamHook implements ConnectionHost {
  programs: StreamPrograms;
  readonly replies = new ReplyBatch();
  readonly backlog: Backlog;
  readonly splitTimeoutMs: number;
  readonly crossingOfReason: Uint8Array;
  /** Connections given up to userspace, by the parser's reason. */
  readonly pinnedByReason = new Float64Array(REASON_NAMES.length);
  /** Time from a chunk's arrival until its answers lay ready, of the chunks that were timed. */
  timedNs = 0;
  timedMessages = 0;
  /** Look-ups refused here, because too many connections waited for userspace. */
  shed = 0;
  readonly refusal: Buffer;
  /** Programs whose service a fault ended. */
  faults = 0;
  protected readonly open = new Set<StreamConnection>();
  protected isAttached = true;
  readonly #options: StreamHookOptions;
  #nextHandle = 1;
  #chunkStartNs = 0;
  /** In this second. */
  #chunks = 0;
  #instructionsBefore = 0;
  #lastFault: Fault | null = null;

  constructor(options: StreamHookOptions) {
    this.#options = options;
    this.programs = options.programs;
    this.refusal = options.refusal;
    this.backlog = new Backlog(options.maxWaiting);
    this.splitTimeoutMs = options.splitTimeoutMs;
    this.crossingOfReason = new Uint8Array(256).fill(CROSSING_INDEX.unsupported);
    for (const row of RUN_REASONS) {
      if ("crossing" in row) this.crossingOfReason[row.code] = CROSSING_INDEX[row.crossing];
    }
  }

  get attached(): boolean {
    return this.isAttached;
  }

  get connections(): number {
    return this.open.size;
  }

  /** Connections with bytes that wait for userspace. */
  get waiting(): number {
    return this.backlog.length;
  }

  *sockets(): Iterable<Socket> {
    for (const { socket } of this.open) yield socket;
  }

  /** Reads the socket from now on; `upper` gets what the programs pass. */
  connect(socket: Socket, upper: (connection: StreamConnection) => Upper): StreamConnection {
    const connection = new StreamConnection(this, socket, this.#nextHandle++, upper);
    connection.idleSinceMs = performance.now();
    this.programs.addSocket(connection.identity, connection.handle);
    this.open.add(connection);
    return connection;
  }

  /** New connections are not to be opened here; those here pass everything on. */
  detach(): void {
    if (!this.isAttached) return;
    this.isAttached = false;
    for (const connection of this.open) connection.detach();
  }

  /** Another pair serves from the next message on, of all connections that are not userspace's for life. */
  replace(programs: StreamPrograms): void {
    for (const { identity } of this.open) this.programs.removeSocket(identity);
    for (const { identity, handle } of this.open) programs.addSocket(identity, handle);
    this.programs = programs;
    programs.claim();
    this.#instructionsBefore = programs.instructions;
  }

  refused(): void {
    this.shed++;
    const { meter } = this.#options;
    meter.chargeRefusal(this.takeInstructions());
  }

  received(bytes: number): void {
    this.#options.onBytes?.(bytes, 0);
  }

  charge(hits: number): void {
    const { meter, nowNs, hitFacts, onBytes } = this.#options;
    if (this.#chunkStartNs !== 0) {
      this.timedNs += nowNs() - this.#chunkStartNs;
      this.timedMessages += hits;
    }
    const { hot } = meter;
    const { length } = this.replies;
    hot.hookRuns = 1;
    const valueBytes = Math.max(0, length - hits * hitFacts.replyHeadBytes);
    const instructions = this.takeInstructions() - valueBytes * hitFacts.copyInstructionsPerByte;
    hot.instructions = Math.max(0, instructions) / hits;
    hot.arrayLookups = hitFacts.arrayLookups;
    hot.helperCalls = hitFacts.helperCalls;
    hot.locks = hitFacts.locks;
    hot.ebpfBytes = length / hits;
    meter.chargeHot(hits);
    if (onBytes !== undefined) onBytes(0, length);
    if (meter.injects) meter.injector.pay();
  }

  answered(hits: number): void {
    if (this.#chunkStartNs === 0) return;
    const { meter, nowNs, sampler } = this.#options;
    const now = nowNs();
    const observedNs = now - this.#chunkStartNs;
    meter.stats.observed.hot.observeMany(observedNs, hits);
    if (sampler !== null && now >= sampler.dueNs.hot) {
      const { profile, hot: facts } = meter;
      const key = this.programs.lastKey();
      sampler.take({
        method: "GET",
        key,
        status: 200,
        tier: "hot",
        crossed: null,
        observedNs,
        facts,
        profile,
      });
    }
  }

  /** Two looks at the clock cost a tenth of a hot answer: above TIMED_A_SECOND chunks one in SAMPLE is timed. */
  chunkStarts(): void {
    this.#options.guard?.();
    const { date } = this.programs;
    if (date.refresh()) this.#chunks = 0;
    const timed = ++this.#chunks <= TIMED_A_SECOND || this.#chunks % SAMPLE === 0;
    this.#chunkStartNs = timed ? this.#options.nowNs() : 0;
  }

  /** When the chunk under way arrived; 0 if it is not timed. */
  get chunkStartNs(): number {
    return this.#chunkStartNs;
  }

  pinned(reason: number): void {
    this.pinnedByReason[reason < REASON_NAMES.length ? reason : 0]!++;
  }

  faulted(): void {
    const fault = this.programs.fault;
    if (fault === null || fault === this.#lastFault) return;
    this.#lastFault = fault;
    this.faults++;
    this.detach();
    this.#options.onFault(fault);
  }

  closed(connection: StreamConnection): void {
    this.programs.removeSocket(connection.identity);
    this.open.delete(connection);
  }

  takeInstructions(): number {
    const now = this.programs.instructions;
    const spent = now - this.#instructionsBefore;
    this.#instructionsBefore = now;
    return spent;
  }

  returnInstructions(instructions: number): void {
    this.#instructionsBefore -= instructions;
  }
}
