import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RedisStore } from "../../../src/tiers/cold/redis.ts";
import { freePort, hasRedis, REDIS_MISSING, RedisServer, scratch } from "../../support/redis-server.ts";

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;
const missing = hasRedis ? "needs openssl, which is not installed" : REDIS_MISSING;
const why = hasRedis && hasOpenssl ? "" : ` (skipped: ${missing})`;

describe.skipIf(why !== "")(`RedisStore over TLS${why}`, () => {
  let directory: string;
  let server: RedisServer;
  let port: number;
  beforeAll(async () => {
    directory = scratch();
    const [key, cert] = [join(directory, "key.pem"), join(directory, "cert.pem")];
    const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
    const made = spawnSync("openssl", [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
      ...["-days", "2", "-keyout", key, "-out", cert, ...subject],
    ]);
    if (made.status !== 0) throw new Error(`openssl: ${made.stderr}`);
    port = await freePort();
    const files = ["--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert];
    const tls = ["--tls-port", String(port), "--tls-auth-clients", "no", "--requirepass", "p@ss:word"];
    server = await RedisServer.start(undefined, [...tls, ...files]);
  }, 60_000);
  afterAll(async () => {
    await server.kill();
    rmSync(directory, { recursive: true, force: true });
  });

  const url = () => `rediss://:p%40ss%3Aword@127.0.0.1:${port}`;

  it("reads and writes, with a password, trusting the authority it is given", async () => {
    const store = await RedisStore.connect({ url: url(), caFile: join(directory, "cert.pem") });
    const next = { value: Buffer.from("secret"), flags: 0, expiresAtMs: 0 };
    await store.update("k", () => ({ next, result: undefined }));
    expect(Buffer.from((await store.get("k"))?.value ?? []).toString()).toBe("secret");
    await store.close();
  });

  it("refuses a server whose certificate nobody vouches for", async () => {
    await expect(RedisStore.connect({ url: url() })).rejects.toThrow(/certificate/);
  });

  it("is told of a wrong password at start", async () => {
    const wrong = `rediss://:no@127.0.0.1:${port}`;
    await expect(RedisStore.connect({ url: wrong, caFile: join(directory, "cert.pem") })).rejects.toThrow(
      /WRONGPASS/,
    );
  });
});
