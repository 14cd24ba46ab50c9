/** `bmc serve` as its own process, on whichever Node, and harm done to it (harm.ts). */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import type { Harm } from "./harms.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

export class ServeProcess {
  readonly url: string;
  readonly port: number;
  /** 0 where memcached is not served. */
  readonly memcachedPort: number;
  readonly #child: ChildProcess;
  readonly #directory: string;
  /** What it wrote on stderr. */
  #log: () => string;

  private constructor(child: ChildProcess, directory: string, banner: string, log: () => string) {
    this.#child = child;
    this.#directory = directory;
    this.#log = log;
    this.url = /http:\S+/.exec(banner)?.[0] ?? "";
    this.port = Number(new URL(this.url).port);
    this.memcachedPort = Number(/memcached 127\.0\.0\.1:(\d+)/.exec(banner)?.[1] ?? 0);
  }

  /** @param flags of `bmc serve`, beside the port */
  static async start(node: string, flags: readonly string[]): Promise<ServeProcess> {
    const directory = mkdtempSync(join(root, "node_modules/.harm-"));
    const harm = join(directory, "harm.mjs");
    buildSync({
      entryPoints: [join(root, "test/support/harm.ts")],
      outfile: harm,
      bundle: true,
      platform: "node",
      target: "node20",
      format: "esm",
      logLevel: "error",
    });
    const child = spawn(
      node,
      ["--import", harm, join(root, "dist/cli.js"), "serve", "--port", "0", "--costs-scale", "0", ...flags],
      { stdio: ["ignore", "pipe", "pipe", "ipc"] },
    );
    let log = "";
    child.stderr?.on("data", (chunk) => {
      log += chunk;
    });
    let banner = "";
    const ended = once(child, "exit").then(([code]) =>
      Promise.reject(new Error(`ended with ${code}: ${log}`)),
    );
    ended.catch(() => {});
    const printed = new Promise<void>((resolve) => {
      child.stdout?.on("data", (chunk) => {
        banner += chunk;
        if (/^ {2}metrics .*\n/m.test(banner)) resolve();
      });
    });
    await Promise.race([printed, ended]);
    return new ServeProcess(child, directory, banner, () => log);
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  get log(): string {
    return this.#log();
  }

  async harm(harm: Harm): Promise<void> {
    const heard = once(this.#child, "message");
    this.#child.send(harm);
    await heard;
  }

  /** NaN where no worker answers. */
  async metric(name: string, labels = ""): Promise<number> {
    const text = await fetch(`${this.url}/metrics`)
      .then((response) => response.text())
      .catch(() => "");
    const line = text.split("\n").find((each) => each.startsWith(`${name}${labels} `));
    return Number(line?.split(" ").at(-1));
  }

  /** @returns its exit code, once it has ended by itself */
  async terminate(): Promise<number> {
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGTERM");
    const [code] = (await exited) as [number];
    return code;
  }

  remove(): void {
    this.#child.kill("SIGKILL");
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
