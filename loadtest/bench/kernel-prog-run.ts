/**
 * `bpftool prog run` as a stopwatch: loads an object into the running kernel, sets map entries, and asks
 * how long one run takes. Needs bpftool and the right to use bpf(); says which is missing.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const BPF_FS = "/sys/fs/bpf";

export class KernelProgRun {
  readonly #pins: string;
  readonly #folder = mkdtempSync(join(tmpdir(), "bmc-bench-"));

  private constructor(pins: string) {
    this.#pins = pins;
  }

  /** @returns the loaded object, or in one line why there is none */
  static load(objectFile: string): KernelProgRun | string {
    const run = new KernelProgRun(join(BPF_FS, `bmc-bench-${process.pid}`));
    const problem = bpftool("prog", "loadall", objectFile, run.#programs, "pinmaps", run.#maps).problem;
    if (problem === null) return run;
    run.close();
    return problem;
  }

  get #programs(): string {
    return this.#pins;
  }

  get #maps(): string {
    return `${this.#pins}-maps`;
  }

  set(map: string, key: Uint8Array, value: Uint8Array): void {
    const hex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"));
    const pinned = join(this.#maps, map);
    must(
      bpftool("map", "update", "pinned", pinned, "key", "hex", ...hex(key), "value", "hex", ...hex(value)),
    );
  }

  /** @returns what bpftool reports: r0 and mean nanoseconds a run */
  run(program: string, packet: Uint8Array, repeat: number): { retval: number; ns: number } {
    const file = join(this.#folder, "packet");
    writeFileSync(file, packet);
    const pinned = join(this.#programs, program);
    const out = must(bpftool("prog", "run", "pinned", pinned, "data_in", file, "repeat", String(repeat)));
    const match = /Return value: (\d+), duration[^:]*: (\d+)ns/.exec(out);
    if (!match) throw new Error(`bpftool prog run ${program}: ${out.trim()}`);
    return { retval: Number(match[1]), ns: Number(match[2]) };
  }

  close(): void {
    for (const path of [this.#programs, this.#maps, this.#folder]) {
      rmSync(path, { recursive: true, force: true });
    }
  }
}

type Output = { readonly out: string; readonly problem: string | null };

function bpftool(...args: string[]): Output {
  const { error, status, stdout, stderr } = spawnSync("bpftool", args, { encoding: "utf8" });
  if (error) return { out: "", problem: `bpftool cannot be started (${error.message})` };
  if (status === 0) return { out: stdout, problem: null };
  const reason = `${stderr}\n${stdout}`.split("\n").find((line) => line.startsWith("Error"));
  return {
    out: stdout,
    problem: `bpftool ${args.slice(0, 2).join(" ")}: ${reason ?? `exit code ${status}`}`,
  };
}

function must({ out, problem }: Output): string {
  if (problem !== null) throw new Error(problem);
  return out;
}
