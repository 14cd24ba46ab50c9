/** Real redis-servers of a test's own: free loopback ports, files in a folder of their own, killed by process id. */
import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

export const hasRedis = spawnSync("redis-server", ["--version"]).status === 0;
export const REDIS_MISSING = "needs redis-server (Debian package redis-server), which is not installed";

const NO_FILES = ["--save", "", "--appendonly", "no"];

export class RedisServer {
  readonly port: number;
  readonly #args: readonly string[];
  #child: ChildProcess;

  private constructor(port: number, args: readonly string[], child: ChildProcess) {
    this.port = port;
    this.#args = args;
    this.#child = child;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** @param args beyond: loopback, no files */
  static async start(port?: number, args: readonly string[] = []): Promise<RedisServer> {
    const at = port ?? (await freePort());
    const all = ["--port", String(at), "--bind", "127.0.0.1", ...NO_FILES, ...args];
    return new RedisServer(at, all, await launch(all));
  }

  /** As if the machine had lost power. */
  async kill(): Promise<void> {
    const gone = once(this.#child, "exit");
    if (this.#child.exitCode === null && this.#child.kill("SIGKILL")) await gone;
  }

  /** On the same port, with what its files hold: nothing by default. */
  async restart(): Promise<void> {
    this.#child = await launch(this.#args);
  }

  /** The process stops answering but keeps its connections. */
  freeze(): void {
    this.#child.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child.kill("SIGCONT");
  }

  /** One command by redis-cli. @throws on an error reply */
  cli(...args: readonly string[]): Promise<string> {
    return redisCli(this.port, ...args);
  }
}

/** Not spawnSync: a process that stands still for seconds loses its connections and leases. */
export async function redisCli(port: number, ...args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)("redis-cli", ["-e", "-p", String(port), ...args]);
  return stdout.trim();
}

export class RedisCluster {
  readonly servers: readonly RedisServer[];
  readonly #directory: string;

  private constructor(servers: readonly RedisServer[], directory: string) {
    this.servers = servers;
    this.#directory = directory;
  }

  get url(): string {
    return `redis+cluster://${this.servers.map(({ port }) => `127.0.0.1:${port}`).join(",")}`;
  }

  /** Three masters with a third of the slots each; `replicas` more servers follow the first one. */
  static async start(replicas = 0): Promise<RedisCluster> {
    const directory = scratch();
    const servers: RedisServer[] = [];
    const buses: number[] = [];
    for (let i = 0; i < 3 + replicas; i++) {
      const bus = await freePort();
      const args = ["--cluster-enabled", "yes", "--cluster-port", String(bus), "--dir", directory];
      args.push("--cluster-config-file", `nodes-${i}.conf`, "--cluster-node-timeout", "1500");
      buses.push(bus);
      servers.push(await RedisServer.start(undefined, args));
    }
    const [first] = servers as [RedisServer, ...RedisServer[]];
    for (let i = 0; i < 3; i++) {
      const [from, to] = [Math.ceil((i * 16_384) / 3), Math.ceil(((i + 1) * 16_384) / 3) - 1];
      await servers[i]!.cli("CLUSTER", "ADDSLOTSRANGE", String(from), String(to));
    }
    for (const [i, server] of servers.entries()) {
      await server.cli("CLUSTER", "SET-CONFIG-EPOCH", String(i + 1));
      if (i > 0) await first.cli("CLUSTER", "MEET", "127.0.0.1", String(server.port), String(buses[i]));
    }
    const cluster = new RedisCluster(servers, directory);
    const all = `cluster_known_nodes:${servers.length}`;
    for (const server of servers) {
      await until(async () => {
        const info = await server.cli("CLUSTER", "INFO");
        return info.includes("cluster_state:ok") && info.includes(all);
      });
    }
    const firstId = await first.cli("CLUSTER", "MYID");
    for (const replica of servers.slice(3)) {
      await replica.cli("CLUSTER", "REPLICATE", firstId);
      await until(async () => (await replica.cli("INFO", "replication")).includes("master_link_status:up"));
    }
    return cluster;
  }

  async kill(): Promise<void> {
    for (const server of this.servers) await server.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** A folder that the caller removes. */
export function scratch(): string {
  return mkdtempSync(join(tmpdir(), "bmc-redis-"));
}

export async function until(holds: () => Promise<boolean>, withinMs = 20_000): Promise<void> {
  const end = performance.now() + withinMs;
  while (!(await holds().catch(() => false))) {
    if (performance.now() > end) throw new Error(`not so within ${withinMs} ms: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function launch(args: readonly string[]): Promise<ChildProcess> {
  const child = spawn("redis-server", args, { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise<void>((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`redis-server exited with ${code}`)));
    child.stdout.on("data", (chunk: Buffer) => {
      if (chunk.toString().includes("Ready to accept connections")) resolve();
    });
  });
  child.removeAllListeners("exit");
  return child;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
