import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { serveConfig } from "../../src/cli/serve.ts";
import { resolveConfig } from "../../src/config.ts";

const CLI = fileURLToPath(new URL("../../dist/cli.js", import.meta.url));
const dir = mkdtempSync(join(tmpdir(), "bmc-serve-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const serve = (...args: string[]) =>
  spawnSync(process.execPath, [CLI, "serve", ...args], { encoding: "utf8", timeout: 20_000 });

function file(name: string, content: string | Uint8Array): string {
  const path = join(dir, name);
  writeFileSync(path, content);
  return path;
}

describe("bad settings are one line that names the key, what was given and what is allowed", () => {
  test.each([
    [{ port: "70000" }, {}, "server.port in --port is 70000; allowed: a whole number from 0 to 65535"],
    [{ port: "x" }, {}, 'server.port in --port is "x"; allowed: a whole number from 0 to 65535'],
    [{ offload: "maybe" }, {}, 'offload.mode in --offload is "maybe"; allowed: on, off'],
    [{}, { BMC_COSTS_SCALE: "-1" }, "costs.scale in the environment is -1; allowed: a number from 0"],
    [{}, { BMC_SERVER_PROT: "1" }, "unknown environment variable BMC_SERVER_PROT; allowed: BMC_SERVER_HOST"],
    [{ config: file("a.json", '{"sever":{}}') }, {}, "unknown key sever in "],
    [{ config: file("b.json", '{"hot":{"entires":1}}') }, {}, "unknown key hot.entires in "],
    [
      { config: file("c.json", '{"hot":{"entries":"many"}}') },
      {},
      'is "many"; allowed: a whole number from 1',
    ],
    [{ config: file("d.json", "{") }, {}, "is not JSON"],
    [{ config: join(dir, "none.json") }, {}, "cannot read"],
  ])("%o %o", (flags, env, message) => {
    expect(() => serveConfig(flags, env)).toThrow(message);
  });

  test("layers rise: file, environment, flag", () => {
    const config = file("e.json", '{"server":{"port":1,"host":"::1"},"hot":{"entries":7}}');
    const got = serveConfig(
      { config, port: "3" },
      { BMC_SERVER_PORT: "2", BMC_HOT_ENTRIES: "9", BMC_OTHER: "x" },
    );
    expect([got.server.host, got.server.port, got.hot.entries]).toEqual(["::1", 3, 9]);
  });

  test("a missing section is named", () => {
    expect(() => resolveConfig([{ name: "x", values: {} }])).toThrow(/server is missing/);
  });
});

describe("bmc serve as a process", () => {
  test.each([
    ["a bad flag", ["--nope"], 2],
    ["a bad value", ["--port", "-1"], 2],
    ["a bad profile", ["--profile", "none"], 2],
    ["an unreadable object", ["--port", "0", "--program", join(dir, "none.o")], 1],
    ["a file that is no object", ["--port", "0", "--program", file("junk.o", "junk")], 1],
  ])("%s: one line on stderr and the exit code", (_name, args, code) => {
    const { status, stderr, stdout } = serve(...args);
    expect(stderr.trim().split("\n").length, stderr).toBe(1);
    expect([status, stdout]).toEqual([code, ""]);
  });

  test("a port in use: one line, exit 1", async () => {
    const server = net.createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as net.AddressInfo;
    const { status, stderr } = serve("--port", String(port), "--offload", "off");
    await new Promise((resolve) => server.close(resolve));
    expect([status, stderr.trim()]).toEqual([1, `bmc: cannot listen on 127.0.0.1:${port}: EADDRINUSE`]);
  });

  test("says where it serves; SIGTERM lets a request under way finish, and exits 0", async () => {
    const child = spawn(process.execPath, [CLI, "serve", "--port", "0"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let out = "";
    await new Promise<void>((resolve) => {
      child.stdout.on("data", (chunk) => {
        out += chunk;
        if (out.includes("metrics")) resolve();
      });
    });
    const port = Number(/http:\/\/127\.0\.0\.1:(\d+)/.exec(out)?.[1]);
    expect(out).toMatch(/attached .*http_kv_parser at sk_skb/);
    expect(out).toMatch(/hot tier .*65536 entries x 1320 B = 86507520 bytes/);
    const socket = net.connect({ port, host: "127.0.0.1" });
    let answer = "";
    socket.on("data", (chunk) => {
      answer += chunk;
    });
    socket.write("PUT /kv/late HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    await new Promise((resolve) => setTimeout(resolve, 100));
    child.kill("SIGTERM");
    await new Promise((resolve) => setTimeout(resolve, 200));
    socket.write("cd");
    const code = await new Promise((resolve) => child.once("exit", resolve));
    expect(answer).toMatch(/^HTTP\/1.1 201 /);
    expect(answer.toLowerCase()).toContain("connection: close");
    expect(code).toBe(0);
  }, 30_000);
});
