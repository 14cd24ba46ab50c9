/**
 * A coherence run: clients of all protocols against one or more nodes, every operation recorded when it is
 * called and when it is answered, and judged key by key (linearizability.ts). The order of events is the
 * order in which this process saw them, so no clock is compared with another; only an item's end, which
 * nobody calls, is placed by time.
 */
import type { Client, Request } from "./client.ts";
import { HttpClient } from "./http-client.ts";
import { Listener } from "./listener.ts";
import { MemcachedTcpClient, MemcachedUdpClient } from "./memcached-client.ts";
import { TimedKey } from "./timed-key.ts";
import { DamagedValue } from "./values.ts";
import { type KeyKind, Workload } from "./workload.ts";

export type Node = { readonly httpPort: number; readonly memcachedPort: number | null };

/** A client, and what is known of whoever reads what it sends. */
type Asker = { readonly client: Client; readonly listener: Listener };

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
const VIOLATIONS_MAX = 5;

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
  const clients = plan.nodes.flatMap((node) => clientsOf(node, plan.clientsOfEach));
  const workloads = clients.map((_, i) => new Workload(plan.seed, i + 1, plan.keysOfEach, plan.keyKinds));

  // Reads of what was never written cross for ever: every key begins with a value.
  const firsts = workloads[0]?.keys.map((key) => ({ key, ...(workloads[0] as Workload).first(key) })) ?? [];

  const turn = async (asker: Asker, workload: Workload): Promise<void> => {
    const name = workload.key();
    const key = keyOf(name);
    const { operation, body, ttlSeconds } = workload.next(name, asker.client.says);
    if (operation.kind !== "cas") {
      await ask(asker, key, { key: name, operation, body, ttlSeconds });
      return;
    }
    // cas "" makes the read a gets.
    const read = await ask(asker, key, {
      key: name,
      operation: { kind: "read" },
      body: "",
      ttlSeconds,
      cas: "",
    });
    if (read?.outcome !== "answered" || typeof read.answer !== "string" || read.cas === undefined) return;
    const expecting = { ...operation, expected: read.answer };
    await ask(asker, key, { key: name, operation: expecting, body, ttlSeconds, cas: read.cas });
  };

  const ask = async ({ client, listener }: Asker, key: TimedKey, request: Request) => {
    const { history } = key;
    const { operation, ttlSeconds } = request;
    const calledMs = performance.now();
    key.advance(calledMs);
    const call = history.call(operation);
    const written =
      ttlSeconds > 0 && "value" in operation
        ? key.mayEnd(operation.value, calledMs, ttlSeconds * 1_000)
        : null;
    let heard: Awaited<ReturnType<Client["ask"]>>;
    try {
      heard = await client.ask(request);
    } catch (error) {
      history.lose(call);
      history.end(call);
      const what = error instanceof DamagedValue ? "a damaged value" : "an answer nobody gives";
      result.violations.push(
        `${client.protocol} ${operation.kind} of ${history.key}: ${what}: ${String(error)}`,
      );
      return null;
    }
    const nowMs = performance.now();
    key.advance(nowMs);
    if (heard.outcome === "answered") {
      history.return(call, heard.answer);
      result.answersBy[client.protocol]++;
      listener.answered(calledMs, nowMs);
      written?.(nowMs);
      return heard;
    }
    result.lost++;
    result.lostWhy[heard.why] = (result.lostWhy[heard.why] ?? 0) + 1;
    if (operation.kind === "read") history.refuse(call);
    else key.lose(call, nowMs, listener, written);
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

  for (const request of firsts) await ask(clients[0] as Asker, keyOf(request.key), request);
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
  for (const { client } of clients) client.close();
  return result;
}

/** @param each connections of each protocol */
function clientsOf({ httpPort, memcachedPort }: Node, each: number): Asker[] {
  const many = (of: () => Client, listener: () => Listener) =>
    Array.from({ length: each }, () => ({ client: of(), listener: listener() }));
  const [http, tcp] = [new Listener(), new Listener()];
  const overHttp = many(
    () => new HttpClient(httpPort),
    () => http,
  );
  if (memcachedPort === null) return overHttp;
  return [
    ...overHttp,
    ...many(
      () => new MemcachedTcpClient(memcachedPort),
      () => tcp,
    ),
    // Datagrams of one socket are read in their order, by whichever worker.
    ...many(
      () => new MemcachedUdpClient(memcachedPort),
      () => new Listener(),
    ),
  ];
}
