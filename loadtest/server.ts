/**
 * Starts the service as its own process for a load test, on a free loopback port and, where taskset is
 * there, on a core of its own, so that the load never runs on the server's core.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { Scrape } from "./prometheus-text.ts";

export const SERVER_CORE = 0;
export const LOAD_CORE = 1;
const CLI = fileURLToPath(new URL("../dist/cli.js", import.meta.url));
const START_DEADLINE_MS = 60_000;

export const canPin = spawnSync("taskset", ["--version"]).status === 0 && cpuCount() >= 2;

function cpuCount(): number {
  const nproc = spawnSync("nproc", { encoding: "utf8" });
  return nproc.status === 0 ? Number(nproc.stdout) : 1;
}

/** Moves this process (all its threads) to the load's core. */
export function pinSelf(): void {
  if (canPin) spawnSync("taskset", ["-a", "-p", "-c", String(LOAD_CORE), String(process.pid)]);
}

const TICKS_PER_SECOND = 100; // USER_HZ of Linux

/** User and system time of a process so far, in microseconds; NaN where there is no /proc. */
export function cpuUsOf(pid: number): number {
  if (!existsSync(`/proc/${pid}/stat`)) return Number.NaN;
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1e6) / TICKS_PER_SECOND;
}

export type ServiceOptions = {
  /** Default: the one that runs this. */
  readonly node?: string;
  /** May it have all cores, the load's too? For services of several workers. */
  readonly everyCore?: boolean;
};

export class Service {
  readonly url: string;
  /** 0 where memcached is not served. */
  readonly memcachedPort: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, url: string, memcachedPort: number) {
    this.#child = child;
    this.url = url;
    this.memcachedPort = memcachedPort;
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** @param args of `bmc serve`, without host and port */
  static async start(args: readonly string[], options: ServiceOptions = {}): Promise<Service> {
    const { node = process.execPath, everyCore = false } = options;
    const serve = [node, CLI, "serve", "--host", "127.0.0.1", "--port", "0", ...args];
    const cores = everyCore ? `0-${cpuCount() - 1}` : String(SERVER_CORE);
    const command = canPin ? ["taskset", "-c", cores, ...serve] : serve;
    const child = spawn(command[0] ?? "", command.slice(1), { stdio: ["ignore", "pipe", "pipe"] });
    killAtExit(child);
    let output = "";
    const url = await new Promise<string>((resolve, reject) => {
      const timer = setTimeout(() => fail("did not start in time"), START_DEADLINE_MS);
      const fail = (why: string) => {
        clearTimeout(timer);
        child.kill("SIGKILL");
        reject(new Error(`bmc serve ${args.join(" ")}: ${why}\n${output}`));
      };
      const onOutput = (chunk: Buffer) => {
        output += chunk.toString();
        const address = /http:\/\/127\.0\.0\.1:\d+/.exec(output);
        if (!address) return;
        clearTimeout(timer);
        resolve(address[0]);
      };
      child.stdout.on("data", onOutput);
      child.stderr.on("data", onOutput);
      child.once("exit", (code) => fail(`exited with ${code}`));
    });
    child.removeAllListeners("exit");
    // The banner is written at once: what it says of memcached is there with the address.
    return new Service(child, url, Number(/memcached 127\.0\.0\.1:(\d+)/.exec(output)?.[1] ?? 0));
  }

  async scrape(): Promise<Scrape> {
    const response = await fetch(`${this.url}/metrics`);
    if (!response.ok) throw new Error(`${this.url}/metrics answered ${response.status}`);
    return new Scrape(await response.text());
  }

  /** Processor time it has used so far. */
  cpuUs(): number {
    return cpuUsOf(this.#child.pid as number);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 10_000);
    await exited;
    clearTimeout(timer);
  }
}

/** A load test that dies leaves no server behind. */
export function killAtExit(child: ChildProcess): void {
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  child.once("exit", () => process.off("exit", kill));
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}
