/**
 * A coherence run: clients of all protocols against one or more nodes, every operation recorded when it is
 * called and when it is answered, and judged key by key (linearizability.ts). The order of events is the
 * order in which this process saw them, so no clock is compared with another; only an item's end, which
 * nobody calls, is placed by time.
 */
import type { Client } from "./client.ts";
import { HttpClient } from "./http-client.ts";
import { type Call, KeyHistory } from "./linearizability.ts";
import { MemcachedTcpClient, MemcachedUdpClient } from "./memcached-client.ts";
import { DamagedValue } from "./values.ts";
import { type KeyKind, Workload } from "./workload.ts";

export type Node = { readonly httpPort: number; readonly memcachedPort: number | null };

export type CoherencePlan = {
  readonly nodes: readonly Node[];
  /** Connections of each protocol to each node. */
  readonly clientsOfEach: number;
  readonly keysOfEach: number;
  readonly keyKinds?: readonly KeyKind[];
  readonly seed: number;
  /** Ends after so many answered operations, or at the first round after `until` says so. */
  readonly operations: number;
  readonly until?: () => boolean;
  readonly onRound?: (progress: CoherenceResult) => void;
};

export type CoherenceResult = {
  /** Answered and judged. */
  operations: number;
  readonly answersBy: Record<Client["protocol"], number>;
  /** Called, never heard of. */
  lost: number;
  readonly lostWhy: Record<string, number>;
  readonly violations: string[];
};

/** All clients stop here, so that histories are judged and forgotten. */
const ROUND_OPERATIONS = 1_000;
/** Wall clocks are read at slightly different moments, and expiry counts in milliseconds. */
const END_SLACK_MS = 15;
/** A lost operation takes effect within this time or never: longer than any deadline of the service. */
const LOST_MS = 6_000;
const VIOLATIONS_MAX = 5;

/** One key's history, with the ends of its items put in at their time. */
class TimedKey {
  readonly history: KeyHistory;
  /** In the order of their time. */
  #due: { readonly atMs: number; readonly happen: () => void }[] = [];
  lost: { readonly call: Call; readonly atMs: number }[] = [];

  constructor(key: string) {
    this.history = new KeyHistory(key, null);
  }

  /** To be called before each event: what is due by now comes first. */
  advance(nowMs: number): void {
    for (const { call, atMs } of this.lost) if (nowMs - atMs > LOST_MS) this.history.end(call);
    this.lost = this.lost.filter(({ atMs }) => nowMs - atMs <= LOST_MS);
    while (this.#due.length > 0 && this.#due[0]!.atMs <= nowMs) this.#due.shift()!.happen();
  }

  /** The item written as `value` ends at some moment between the two. */
  endsBetween(value: string, fromMs: number, toMs: number): void {
    this.#schedule(fromMs, () => {
      const ending = this.history.call({ kind: "expire", value });
      this.#schedule(toMs, () => this.history.return(ending, undefined));
    });
  }

  #schedule(atMs: number, happen: () => void): void {
    this.#due.push({ atMs, happen });
    this.#due.sort((a, b) => a.atMs - b.atMs);
  }
}

export async function runCoherence(plan: CoherencePlan): Promise<CoherenceResult> {
  const result: CoherenceResult = {
    operations: 0,
    answersBy: { http: 0, tcp: 0, udp: 0 },
    lost: 0,
    lostWhy: {},
    violations: [],
  };
  const keys = new Map<string, TimedKey>();
  const keyOf = (name: string): TimedKey => {
    const known = keys.get(name) ?? new TimedKey(name);
    keys.set(name, known);
    return known;
  };
  const clients = plan.nodes.flatMap((node) =>
    Array.from({ length: plan.clientsOfEach }, () => clientsOf(node)).flat(),
  );
  const workloads = clients.map((_, i) => new Workload(plan.seed, i + 1, plan.keysOfEach, plan.keyKinds));

  // Reads of what was never written cross for ever: every key begins with a value.
  const firsts = workloads[0]?.keys.map((key) => ({ key, ...(workloads[0] as Workload).first(key) })) ?? [];

  const turn = async (client: Client, workload: Workload): Promise<void> => {
    const name = workload.key();
    const key = keyOf(name);
    const { operation, body, ttlSeconds } = workload.next(name, client.says);
    if (operation.kind !== "cas") {
      await ask(client, key, { key: name, operation, body, ttlSeconds });
      return;
    }
    // cas "" makes the read a gets.
    const read = await ask(client, key, {
      key: name,
      operation: { kind: "read" },
      body: "",
      ttlSeconds,
      cas: "",
    });
    if (read?.outcome !== "answered" || typeof read.answer !== "string" || read.cas === undefined) return;
    const expecting = { ...operation, expected: read.answer };
    await ask(client, key, { key: name, operation: expecting, body, ttlSeconds, cas: read.cas });
  };

  const ask = async (client: Client, key: TimedKey, request: Parameters<Client["ask"]>[0]) => {
    const { history } = key;
    const calledMs = performance.now();
    key.advance(calledMs);
    const call = history.call(request.operation);
    let heard: Awaited<ReturnType<Client["ask"]>>;
    try {
      heard = await client.ask(request);
    } catch (error) {
      history.lose(call);
      history.end(call);
      const what = error instanceof DamagedValue ? "a damaged value" : "an answer nobody gives";
      result.violations.push(
        `${client.protocol} ${request.operation.kind} of ${history.key}: ${what}: ${String(error)}`,
      );
      return null;
    }
    const nowMs = performance.now();
    key.advance(nowMs);
    if (heard.outcome === "answered") {
      history.return(call, heard.answer);
      result.answersBy[client.protocol]++;
      const { operation, ttlSeconds } = request;
      if (ttlSeconds > 0 && "value" in operation) {
        const ttlMs = ttlSeconds * 1_000;
        key.endsBetween(operation.value, calledMs + ttlMs - END_SLACK_MS, nowMs + ttlMs + END_SLACK_MS);
      }
      return heard;
    }
    result.lost++;
    result.lostWhy[heard.why] = (result.lostWhy[heard.why] ?? 0) + 1;
    if (request.operation.kind === "read") history.refuse(call);
    else {
      history.lose(call);
      key.lost.push({ call, atMs: nowMs });
    }
    return heard;
  };

  const judge = (): void => {
    result.operations = 0;
    for (const { history } of keys.values()) {
      history.check();
      result.operations += history.checked;
      if (history.violation !== null && !result.violations.includes(history.violation)) {
        result.violations.push(history.violation);
      }
    }
  };

  for (const request of firsts) await ask(clients[0] as Client, keyOf(request.key), request);
  while (
    result.operations < plan.operations &&
    result.violations.length < VIOLATIONS_MAX &&
    !plan.until?.()
  ) {
    const turns = Math.ceil(ROUND_OPERATIONS / clients.length);
    await Promise.all(
      clients.map(async (client, i) => {
        for (let n = 0; n < turns; n++) await turn(client, workloads[i] as Workload);
      }),
    );
    judge();
    plan.onRound?.(result);
  }
  for (const client of clients) client.close();
  return result;
}

function clientsOf({ httpPort, memcachedPort }: Node): Client[] {
  if (memcachedPort === null) return [new HttpClient(httpPort)];
  return [
    new HttpClient(httpPort),
    new MemcachedTcpClient(memcachedPort),
    new MemcachedUdpClient(memcachedPort),
  ];
}
