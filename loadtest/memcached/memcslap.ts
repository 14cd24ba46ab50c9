/** Debian's own generator (libmemcached-tools), where it is installed: one fixed job over TCP, timed by itself. */
import { execFile, spawnSync } from "node:child_process";
import type { Section } from "../report.ts";
import { freePort, Service } from "../server.ts";

const CLIENTS = 8;
const GETS_EACH = 2_000;

export function hasMemcslap(): boolean {
  return spawnSync("memcslap", ["--version"]).status === 0;
}

export type Slap = { readonly gets: number; readonly seconds: number };

/** What memcslap says at its end, or null: `Time to get  400 keys by  2 threads:  0.020 seconds.` */
export function parseMemcslap(text: string): Slap | null {
  const match = /Time to get\s+(\d+) keys by\s+\d+ threads:\s+([\d.]+) seconds/.exec(text);
  return match && { gets: Number(match[1]), seconds: Number(match[2]) };
}

/** @throws Error with memcslap's own words when it does not finish */
export async function slap(port: number, getsEach = GETS_EACH): Promise<Slap> {
  const text = await output([
    `--servers=127.0.0.1:${port}`,
    `--concurrency=${CLIENTS}`,
    `--execute-number=${getsEach}`,
    "--test=get",
  ]);
  const slapped = parseMemcslap(text);
  if (slapped === null) throw new Error(`memcslap: ${text.trim().slice(0, 200) || "no output"}`);
  return slapped;
}

export async function memcslapSection(): Promise<Section> {
  const text = "Debian's generator, over TCP.";
  if (!hasMemcslap()) {
    return {
      title: "memcslap",
      text: `${text} Not installed here (libmemcached-tools).`,
      tables: [],
      plots: [],
    };
  }
  const rows: [string, number, number, number][] = [];
  for (const offload of ["on", "off"] as const) {
    const port = await freePort();
    const service = await Service.start([
      "--memcached",
      `127.0.0.1:${port}`,
      "--offload",
      offload,
      "--costs-scale",
      "0",
    ]);
    try {
      const { gets, seconds } = await slap(port);
      rows.push([`offload ${offload}`, gets, seconds, gets / seconds]);
    } finally {
      await service.stop();
    }
  }
  const caption = `${CLIENTS} clients, ${GETS_EACH} gets each`;
  const table = { caption, columns: ["", "gets", "seconds", "gets/s"], rows };
  return { title: "memcslap", text, tables: [table], plots: [] };
}

function output(args: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    execFile("memcslap", args, { timeout: 60_000 }, (_error, stdout, stderr) =>
      resolve(`${stdout}${stderr}`),
    );
  });
}
