/**
 * The simulated server: NIC queues, cores, sockets, threads. A request arrives at a NIC ring, is handled in
 * softirq on that ring's core (where the hook's program answers it or passes it up), waits in a socket, and
 * is served by a userspace thread. Softirq preempts userspace: the mechanism that starves cold requests.
 * When it has kept a runnable thread waiting for a whole budget, the scheduler gives the thread a slice
 * (ksoftirqd's fair share). Queues are bounded; what does not fit is dropped and counted.
 *
 * Everything is integer picoseconds and typed arrays; memory is fixed at construction. Socket locks are
 * FIFO spin locks granted in advance: a core knows at once when it will have the lock and spins until then.
 */
import { type ArrivalSpec, type GapSource, gapSource } from "./arrivals.ts";
import { EventQueue, NEVER } from "./event-queue.ts";
import { Histogram } from "./histogram.ts";
import { Prng } from "./prng.ts";
import { SimError } from "./sim-error.ts";
import { Sockets } from "./sockets.ts";

export type PathSpec = {
  readonly name: string;
  /** Answered at the hook: userspace never sees it. */
  readonly hot: boolean;
  readonly softirqNs: number;
  readonly userNs: number;
  /** Mean of an exponential part of the time above, which keeps its mean; at most that time. */
  readonly softirqJitterNs?: number;
  readonly userJitterNs?: number;
  /** Hot on the NIC's own processors: takes `softirqNs` there and no core. */
  readonly onNic?: boolean;
  /** Socket it waits in; by default the queue's. */
  readonly socket?: number;
  /** 0 is served before 1 where the socket's discipline is priority. */
  readonly priority?: 0 | 1;
};

export type FlowSpec = {
  readonly name: string;
  readonly arrival: ArrivalSpec;
  /** Index of the NIC queue, or "rss": each request to a random queue. */
  readonly queue: number | "rss";
  readonly paths: readonly PathSpec[];
  /** Constant part of the latency outside the server: wire and client. */
  readonly baseNs?: number;
};

export type MachineSpec = {
  readonly cores: number;
  /** Where each NIC queue is handled; core -1: delivered to the socket by polling, with no softirq. */
  readonly queues: readonly { readonly core: number; readonly ring: number; readonly socket: number }[];
  readonly sockets: readonly {
    readonly capacity: number;
    readonly discipline?: "fifo" | "priority";
    /**
     * Spin lock taken to enqueue and to dequeue: `holdNs`, plus `transferNs` where another core had it last
     * (its cache lines move), plus `perWaiterNs` for each core spinning.
     */
    readonly lock?: { readonly holdNs: number; readonly perWaiterNs: number; readonly transferNs?: number };
  }[];
  readonly threads: readonly { readonly core: number; readonly socket: number }[];
  readonly contextSwitchNs: number;
  /** Softirq time beyond its own that a waiting thread endures before it gets `userSliceNs`; absent: for ever. */
  readonly softirqBudgetNs?: number;
  readonly userSliceNs?: number;
};

/** Decides at the hook, is told of answers. Both get the request's slot, below `requestSlots`. */
export type Steering = {
  /** @returns index into the flow's `paths` */
  readonly decide: (slot: number, flow: number) => number;
  readonly answered?: (slot: number, flow: number, path: number) => void;
};

export type FlowStats = {
  offered: number;
  nicDrops: number;
  socketDrops: number;
  /** Latencies of the answers, ps, by path. */
  readonly byPath: readonly Histogram[];
};

const IDLE = 0;
const SOFTIRQ = 1;
const USER = 2;
const NONE = -1;

export class Machine {
  readonly spec: MachineSpec;
  readonly flows: readonly FlowSpec[];
  readonly requestSlots: number;
  stats: FlowStats[];
  /** Virtual time, ps. */
  now = 0;
  /** Arrivals since construction. */
  arrivals = 0;
  contextSwitches = 0;
  preemptions = 0;
  readonly softirqBusy: Float64Array;
  readonly userBusy: Float64Array;
  #since = 0;

  readonly #queue: EventQueue;
  readonly #steering: Steering;
  readonly #sockets: Sockets;
  readonly #rng: Prng;
  readonly #gaps: (GapSource | null)[];

  // Requests, by slot; `next` links free slots, ring members and socket members.
  readonly #arrivedAt: Float64Array;
  readonly #flowOf: Uint8Array;
  readonly #pathOf: Uint8Array;
  readonly #clientOf: Int32Array;
  readonly #next: Int32Array;
  #free = 0;

  // Rings, by NIC queue.
  readonly #ringHead: Int32Array;
  readonly #ringTail: Int32Array;
  readonly #ringCount: Int32Array;

  // Cores.
  readonly #mode: Uint8Array;
  readonly #current: Int32Array;
  readonly #ringsOf: Int32Array[];
  readonly #ringTurn: Int32Array;
  readonly #threadsOf: Int32Array[];
  readonly #threadTurn: Int32Array;
  readonly #lastThread: Int32Array;
  readonly #endured: Float64Array;
  readonly #sliceEnd: Float64Array;
  readonly #startedAt: Float64Array;

  // Threads.
  readonly #threadRequest: Int32Array;
  readonly #threadLeft: Float64Array;
  readonly #coresOfSocket: Int32Array[];
  readonly #wakeTurn: Int32Array;

  // Flows: flat path tables, base `flow * PATHS`.
  readonly #pathBase: Int32Array;
  readonly #hot: Uint8Array;
  readonly #onNic: Uint8Array;
  readonly #priority: Uint8Array;
  readonly #softirq: Float64Array;
  readonly #user: Float64Array;
  readonly #softirqJitter: Float64Array;
  readonly #userJitter: Float64Array;
  readonly #base: Float64Array;
  readonly #queueOfFlow: Int32Array;
  readonly #socketOfPath: Int32Array;
  readonly #anyOnNic: Uint8Array;
  // Actors: cores first, then one per open-loop flow or per client.
  readonly #actorFlow: Int32Array;
  readonly #think: Float64Array;
  readonly #budget: number;
  readonly #slice: number;
  readonly #switchPs: number;

  constructor(spec: MachineSpec, flows: readonly FlowSpec[], steering: Steering, seed: number) {
    this.spec = spec;
    this.flows = flows;
    this.#steering = steering;
    this.#rng = new Prng(seed, 1);
    const { cores, queues, sockets, threads } = spec;
    const slots =
      cores + threads.length + 1 + sum(queues.map((q) => q.ring)) + sum(sockets.map((s) => s.capacity));
    this.requestSlots = slots;
    this.#arrivedAt = new Float64Array(slots);
    this.#flowOf = new Uint8Array(slots);
    this.#pathOf = new Uint8Array(slots);
    this.#clientOf = new Int32Array(slots);
    this.#next = Int32Array.from({ length: slots }, (_, i) => (i + 1 < slots ? i + 1 : NONE));
    this.#sockets = new Sockets(sockets, this.#next);

    this.#ringHead = new Int32Array(queues.length).fill(NONE);
    this.#ringTail = new Int32Array(queues.length).fill(NONE);
    this.#ringCount = new Int32Array(queues.length);

    this.softirqBusy = new Float64Array(cores);
    this.userBusy = new Float64Array(cores);
    this.#mode = new Uint8Array(cores);
    this.#current = new Int32Array(cores).fill(NONE);
    this.#ringTurn = new Int32Array(cores);
    this.#threadTurn = new Int32Array(cores);
    this.#lastThread = new Int32Array(cores).fill(NONE);
    this.#endured = new Float64Array(cores);
    this.#sliceEnd = new Float64Array(cores).fill(-1);
    this.#startedAt = new Float64Array(cores);
    const indices = (n: number, keep: (i: number) => boolean) =>
      Int32Array.from(Array.from({ length: n }, (_, i) => i).filter(keep));
    const each = (n: number) => Array.from({ length: n }, (_, i) => i);
    this.#ringsOf = each(cores).map((c) => indices(queues.length, (q) => queues[q]?.core === c));
    this.#threadsOf = each(cores).map((c) => indices(threads.length, (t) => threads[t]?.core === c));
    this.#threadRequest = new Int32Array(threads.length).fill(NONE);
    this.#threadLeft = new Float64Array(threads.length);
    this.#coresOfSocket = each(sockets.length).map((s) =>
      Int32Array.from(new Set(threads.filter((t) => t.socket === s).map((t) => t.core))),
    );
    this.#wakeTurn = new Int32Array(sockets.length);

    const paths = sum(flows.map((f) => f.paths.length));
    this.#pathBase = new Int32Array(flows.length);
    this.#hot = new Uint8Array(paths);
    this.#onNic = new Uint8Array(paths);
    this.#priority = new Uint8Array(paths);
    this.#softirq = new Float64Array(paths);
    this.#user = new Float64Array(paths);
    this.#softirqJitter = new Float64Array(paths);
    this.#userJitter = new Float64Array(paths);
    this.#base = new Float64Array(flows.length);
    this.#queueOfFlow = new Int32Array(flows.length);
    this.#socketOfPath = Int32Array.from(
      flows.flatMap((f) => f.paths),
      (path) => path.socket ?? NONE,
    );
    this.#anyOnNic = new Uint8Array(flows.length);
    let at = 0;
    flows.forEach((flow, f) => {
      this.#pathBase[f] = at;
      this.#base[f] = ps(flow.baseNs ?? 0);
      this.#queueOfFlow[f] = flow.queue === "rss" ? NONE : flow.queue;
      for (const path of flow.paths) {
        this.#hot[at] = path.hot ? 1 : 0;
        this.#onNic[at] = path.onNic ? 1 : 0;
        if (path.onNic) this.#anyOnNic[f] = 1;
        this.#priority[at] = path.priority ?? 0;
        this.#softirqJitter[at] = ps(Math.min(path.softirqNs, path.softirqJitterNs ?? 0));
        this.#userJitter[at] = ps(Math.min(path.userNs, path.userJitterNs ?? 0));
        this.#softirq[at] = ps(path.softirqNs) - this.#softirqJitter[at]!;
        this.#user[at] = ps(path.userNs) - this.#userJitter[at]!;
        at++;
      }
    });

    this.#budget = spec.softirqBudgetNs === undefined ? NEVER : ps(spec.softirqBudgetNs);
    this.#slice = ps(spec.userSliceNs ?? 0);
    this.#switchPs = ps(spec.contextSwitchNs);
    this.#think = Float64Array.from(flows, (f) =>
      f.arrival.kind === "closed" ? f.arrival.thinkUs * 1e6 : 0,
    );
    const actors: number[] = [];
    flows.forEach((f, i) => {
      const count = f.arrival.kind === "closed" ? f.arrival.clients : 1;
      for (let n = 0; n < count; n++) actors.push(i);
    });
    this.#actorFlow = Int32Array.from([...new Array<number>(cores).fill(NONE), ...actors]);
    this.#queue = new EventQueue(this.#actorFlow.length);
    this.#gaps = flows.map((f, i) =>
      f.arrival.kind === "closed" ? null : gapSource(f.arrival, new Prng(seed, 100 + i)),
    );
    for (let actor = cores; actor < this.#actorFlow.length; actor++) {
      const flow = this.#actorFlow[actor]!;
      const gap = this.#gaps[flow];
      this.#queue.set(actor, gap ? gap() : this.#thinkTime(flow));
    }
    this.stats = this.#freshStats();
  }

  /** Forgets all counts, keeps the state: the end of the warm-up. */
  resetStats(): void {
    this.stats = this.#freshStats();
    this.softirqBusy.fill(0);
    this.userBusy.fill(0);
    this.contextSwitches = 0;
    this.preemptions = 0;
    this.#since = this.now;
  }

  /** Seconds of virtual time the counts cover. */
  get elapsedSeconds(): number {
    return (this.now - this.#since) / 1e12;
  }

  /** Runs until `count` more requests have arrived. */
  run(count: number): void {
    const until = this.arrivals + count;
    const cores = this.spec.cores;
    const queue = this.#queue;
    while (this.arrivals < until) {
      const time = queue.nextTime;
      if (time >= 9007199254740992)
        throw new SimError(
          "the run passed 2.5 hours of virtual time, all that integer picoseconds hold: ask for fewer requests or a higher rate",
        );
      this.now = time;
      const actor = queue.next;
      if (actor >= cores) this.#arrive(actor);
      else if (this.#mode[actor] === SOFTIRQ) this.#softirqDone(actor);
      else this.#userDone(actor);
    }
  }

  #freshStats(): FlowStats[] {
    return this.flows.map((f) => ({
      offered: 0,
      nicDrops: 0,
      socketDrops: 0,
      byPath: f.paths.map(() => new Histogram()),
    }));
  }

  #thinkTime(flow: number): number {
    const mean = this.#think[flow]!;
    return this.now + (mean === 0 ? 1 : Math.round(this.#rng.exponential(mean)));
  }

  #arrive(actor: number): void {
    const flow = this.#actorFlow[actor]!;
    const gap = this.#gaps[flow];
    if (gap) this.#queue.set(actor, this.now + gap());
    else this.#queue.cancel(actor);
    this.arrivals++;
    const stats = this.stats[flow]!;
    stats.offered++;
    const slot = this.#free;
    this.#free = this.#next[slot]!;
    this.#arrivedAt[slot] = this.now;
    this.#flowOf[slot] = flow;
    this.#clientOf[slot] = gap ? NONE : actor;
    if (this.#anyOnNic[flow] === 1) {
      const path = this.#steering.decide(slot, flow);
      this.#pathOf[slot] = path;
      const p = this.#pathBase[flow]! + path;
      if (this.#onNic[p] === 1) {
        this.#finish(slot, this.#drawSoftirq(p));
        return;
      }
    }
    const rings = this.spec.queues;
    const fixed = this.#queueOfFlow[flow]!;
    const q = fixed !== NONE ? fixed : rings.length === 1 ? 0 : this.#rng.below(rings.length);
    const { core, ring, socket } = rings[q]!;
    if (core < 0) {
      if (this.#anyOnNic[flow] === 0) this.#pathOf[slot] = this.#steering.decide(slot, flow);
      this.#toSocket(slot, this.#socketFor(slot, socket));
      return;
    }
    if (this.#ringCount[q]! >= ring) {
      stats.nicDrops++;
      this.#release(slot);
      return;
    }
    this.#next[slot] = NONE;
    if (this.#ringCount[q] === 0) this.#ringHead[q] = slot;
    else this.#next[this.#ringTail[q]!] = slot;
    this.#ringTail[q] = slot;
    this.#ringCount[q]!++;
    const mode = this.#mode[core]!;
    if (mode === IDLE) this.#schedule(core);
    else if (mode === USER && this.now >= this.#sliceEnd[core]!) {
      this.#preempt(core);
      this.#startSoftirq(core, q);
    }
  }

  /** Takes the core from its thread; the thread keeps what is left of its work. */
  #preempt(core: number): void {
    const thread = this.#current[core]!;
    this.#threadLeft[thread] = this.#queue.timeOf(core) - this.now;
    this.#ranUser(core);
    this.preemptions++;
  }

  /** What the thread ran is taken off what it endured: the two are to come out even (fair share). */
  #ranUser(core: number): void {
    const ran = this.now - this.#startedAt[core]!;
    this.userBusy[core]! += ran;
    this.#endured[core] = Math.max(0, this.#endured[core]! - ran);
  }

  #drawSoftirq(p: number): number {
    const jitter = this.#softirqJitter[p]!;
    return this.#softirq[p]! + (jitter === 0 ? 0 : Math.round(this.#rng.exponential(jitter)));
  }

  #startSoftirq(core: number, q: number): void {
    const slot = this.#ringHead[q]!;
    this.#ringHead[q] = this.#next[slot]!;
    this.#ringCount[q]!--;
    const flow = this.#flowOf[slot]!;
    if (this.#anyOnNic[flow] === 0) this.#pathOf[slot] = this.#steering.decide(slot, flow);
    const p = this.#pathBase[flow]! + this.#pathOf[slot]!;
    let end = this.now + this.#drawSoftirq(p);
    if (this.#hot[p] === 0) {
      const socket = this.#socketFor(slot, this.spec.queues[q]!.socket);
      if (this.#sockets.hasRoom(socket)) end = this.#sockets.lock(socket, end, core);
    }
    this.#mode[core] = SOFTIRQ;
    this.#current[core] = slot;
    this.#ringTurn[core] = q;
    this.#startedAt[core] = this.now;
    this.#queue.set(core, end);
  }

  #softirqDone(core: number): void {
    const took = this.now - this.#startedAt[core]!;
    this.softirqBusy[core]! += took;
    const slot = this.#current[core]!;
    const flow = this.#flowOf[slot]!;
    const p = this.#pathBase[flow]! + this.#pathOf[slot]!;
    this.#mode[core] = IDLE;
    if (this.#waitingThread(core) !== NONE) this.#endured[core]! += took;
    if (this.#hot[p] === 1) this.#finish(slot, 0);
    else this.#toSocket(slot, this.#socketFor(slot, this.spec.queues[this.#ringTurn[core]!]!.socket), core);
    if (this.#mode[core] === IDLE) this.#schedule(core);
  }

  #socketFor(slot: number, ofQueue: number): number {
    const own = this.#socketOfPath[this.#pathBase[this.#flowOf[slot]!]! + this.#pathOf[slot]!]!;
    return own === NONE ? ofQueue : own;
  }

  #toSocket(slot: number, socket: number, from = NONE): void {
    const flow = this.#flowOf[slot]!;
    if (!this.#sockets.hasRoom(socket)) {
      this.stats[flow]!.socketDrops++;
      this.#release(slot);
      return;
    }
    this.#sockets.push(socket, slot, this.#priority[this.#pathBase[flow]! + this.#pathOf[slot]!]!);
    // Wake one idle core that has a thread on this socket; the one that got the packet schedules itself.
    const cores = this.#coresOfSocket[socket]!;
    if (cores.length === 1 && cores[0] === from) return;
    let turn = this.#wakeTurn[socket]!;
    for (let i = 0; i < cores.length; i++) {
      turn = turn + 1 >= cores.length ? 0 : turn + 1;
      const core = cores[turn]!;
      if (core !== from && this.#mode[core] === IDLE) {
        this.#wakeTurn[socket] = turn;
        this.#schedule(core);
        return;
      }
    }
  }

  /** A thread of this core that could run, round robin from the one after the last; NONE if none. */
  #waitingThread(core: number): number {
    const threads = this.#threadsOf[core]!;
    const n = threads.length;
    let turn = this.#threadTurn[core]!;
    for (let i = 0; i < n; i++) {
      const thread = threads[turn]!;
      if (this.#threadRequest[thread] !== NONE) return thread;
      turn = turn + 1 >= n ? 0 : turn + 1;
    }
    for (let i = 0; i < n; i++) {
      turn = turn + 1 >= n ? 0 : turn + 1;
      const thread = threads[turn]!;
      if (this.#sockets.count(this.spec.threads[thread]!.socket) > 0) return thread;
    }
    return NONE;
  }

  #schedule(core: number): void {
    let q = NONE;
    const rings = this.#ringsOf[core]!;
    for (let i = 0; i < rings.length; i++) {
      if (this.#ringCount[rings[i]!]! > 0) {
        q = rings[i]!;
        break;
      }
    }
    const thread = this.#waitingThread(core);
    if (q !== NONE) {
      if (thread !== NONE && this.#endured[core]! >= this.#budget) {
        // ksoftirqd yields: the thread runs undisturbed for a slice.
        this.#sliceEnd[core] = this.now + this.#slice;
        this.#endured[core] = 0;
        this.#lastThread[core] = NONE; // ksoftirqd is a thread: the switch back costs
      }
      if (thread === NONE || this.now >= this.#sliceEnd[core]!) {
        this.#startSoftirq(core, q);
        return;
      }
    }
    if (thread !== NONE) this.#startUser(core, thread);
    else {
      this.#endured[core] = 0;
      this.#mode[core] = IDLE;
      this.#sliceEnd[core] = -1;
      this.#queue.cancel(core);
    }
  }

  #startUser(core: number, thread: number): void {
    let work: number;
    if (this.#threadRequest[thread] === NONE) {
      const socket = this.spec.threads[thread]!.socket;
      const locked = this.#sockets.lock(socket, this.now, core);
      const slot = this.#sockets.pop(socket);
      this.#threadRequest[thread] = slot;
      const p = this.#pathBase[this.#flowOf[slot]!]! + this.#pathOf[slot]!;
      const jitter = this.#userJitter[p]!;
      work =
        locked - this.now + this.#user[p]! + (jitter === 0 ? 0 : Math.round(this.#rng.exponential(jitter)));
    } else work = this.#threadLeft[thread]!;
    if (this.#lastThread[core] !== thread) {
      this.#lastThread[core] = thread;
      this.contextSwitches++;
      work += this.#switchPs;
    }
    this.#mode[core] = USER;
    this.#current[core] = thread;
    this.#startedAt[core] = this.now;
    this.#queue.set(core, this.now + work);
  }

  #userDone(core: number): void {
    this.#ranUser(core);
    const thread = this.#current[core]!;
    const slot = this.#threadRequest[thread]!;
    this.#threadRequest[thread] = NONE;
    const threads = this.#threadsOf[core]!;
    if (threads.length > 1) {
      // The next thread's turn comes after this one.
      this.#threadTurn[core] = (threads.indexOf(thread) + 1) % threads.length;
    }
    this.#mode[core] = IDLE;
    this.#finish(slot, 0);
    if (this.#mode[core] === IDLE) this.#schedule(core);
  }

  #finish(slot: number, extra: number): void {
    const flow = this.#flowOf[slot]!;
    const path = this.#pathOf[slot]!;
    const stats = this.stats[flow]!;
    const latency = this.now - this.#arrivedAt[slot]! + extra + this.#base[flow]!;
    stats.byPath[path]!.record(latency);
    this.#steering.answered?.(slot, flow, path);
    this.#release(slot);
  }

  /** Frees the slot; a closed-loop client sends again (after a drop too: its timeout is its think time). */
  #release(slot: number): void {
    const client = this.#clientOf[slot]!;
    if (client !== NONE) {
      const flow = this.#flowOf[slot]!;
      this.#queue.set(client, this.#thinkTime(flow) + this.#base[flow]!);
    }
    this.#next[slot] = this.#free;
    this.#free = slot;
  }
}

function ps(ns: number): number {
  return Math.round(ns * 1000);
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}
