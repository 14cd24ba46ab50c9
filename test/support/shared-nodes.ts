/** Some services on one Redis, each behind a proxy of its own, in the test's process. */
import { RedisStore, type RedisStoreOptions } from "../../src/tiers/cold/redis.ts";
import { sleep, start } from "./service.ts";
import { TcpProxy } from "./tcp-proxy.ts";

export type SharedNode = {
  readonly url: string;
  readonly port: number;
  /** TCP and UDP. */
  readonly memcachedPort: number;
  readonly store: RedisStore;
  /** Between this node and Redis. */
  readonly proxy: TcpProxy;
  readonly service: Awaited<ReturnType<typeof start>>["service"];
  close(): Promise<void>;
};

export type SharedNodesOptions = {
  readonly redisPort: number;
  readonly nodes: number;
  readonly store?: Partial<RedisStoreOptions>;
  readonly flags?: Parameters<typeof start>[0];
  readonly config?: Parameters<typeof start>[1];
};

export async function startNodes(options: SharedNodesOptions): Promise<SharedNode[]> {
  const nodes: SharedNode[] = [];
  for (let i = 0; i < options.nodes; i++) nodes.push(await startNode(options));
  // Building a service keeps the others' event loop, so that their leases ran out.
  const others = options.store?.coherence === "eventual" ? 0 : options.nodes - 1;
  const isJoined = ({ store }: SharedNode) => (store.sharedStats().nodes?.others ?? 0) === others;
  for (let i = 0; !nodes.every(isJoined); i++) {
    if (i === 1_000) throw new Error("the nodes have not found each other");
    await sleep(20);
  }
  return nodes;
}

async function startNode({
  redisPort,
  store: given,
  flags,
  config,
}: SharedNodesOptions): Promise<SharedNode> {
  const proxy = await TcpProxy.start(redisPort);
  const store = await RedisStore.connect({ url: `redis://127.0.0.1:${proxy.port}`, ...given });
  const memcached = "127.0.0.1:0";
  const running = await start({ admission: "always", memcached, ...flags }, config, { cold: store });
  const { service, url, port } = running;
  return {
    url,
    port,
    memcachedPort: service.memcached?.server?.port ?? 0,
    store,
    proxy,
    service,
    async close() {
      await service.close();
      await proxy.close();
    },
  };
}

/** The value of a metric without labels. */
export async function metric(node: SharedNode, name: string): Promise<number> {
  const text = await (await fetch(`${node.url}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)`, "m").exec(text)?.[1]);
}
