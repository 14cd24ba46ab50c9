import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ColdStore, StoreUnavailable } from "../../src/tiers/cold/store.ts";
import { answers, exchange, get, type Running, sleep, start } from "../support/service.ts";

let on: Running;
beforeAll(async () => {
  on = await start({ offload: "on" });
});
afterAll(() => on.service.close());

const call = (path: string, init?: RequestInit) => fetch(on.url + path, init);
const store = (key: string, body: BodyInit, query = "") =>
  call(`/kv/${key}${query}`, { method: "PUT", body });

describe("/kv/:key", () => {
  test("bytes in, bytes out: PUT is 201 for a new key and 204 for another value", async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    expect((await store("bytes", bytes)).status).toBe(201);
    expect((await store("bytes", bytes)).status).toBe(204);
    // Cold, then admitted, then hot: each time the same bytes.
    for (let i = 0; i < 4; i++) {
      const answer = await call("/kv/bytes");
      expect(answer.headers.get("content-type")).toBe("application/octet-stream");
      expect(new Uint8Array(await answer.arrayBuffer())).toEqual(bytes);
    }
  });

  test("an empty value is a value", async () => {
    await store("empty", "");
    for (let i = 0; i < 3; i++) {
      const answer = await call("/kv/empty");
      expect([answer.status, await answer.text()]).toEqual([200, ""]);
    }
  });

  test("any media type is taken, also a malformed one", async () => {
    const put = (type: string) =>
      call("/kv/type", { method: "PUT", body: "{", headers: { "content-type": type } });
    for (const type of ["application/json", "nonsense", "text/plain; charset"]) {
      expect((await put(type)).status).toBeLessThan(300);
    }
    expect(await (await call("/kv/type")).text()).toBe("{");
  });

  test("DELETE is 204, then 404; HEAD tells the length alone", async () => {
    await store("gone", "12345");
    const head = await call("/kv/gone", { method: "HEAD" });
    expect([head.status, head.headers.get("content-length"), await head.text()]).toEqual([200, "5", ""]);
    expect((await call("/kv/gone", { method: "DELETE" })).status).toBe(204);
    expect((await call("/kv/gone", { method: "DELETE" })).status).toBe(404);
    expect((await call("/kv/gone")).status).toBe(404);
    expect((await call("/kv/gone", { method: "HEAD" })).status).toBe(404);
  });

  test.each([
    ["", 400],
    ["a%20b", 400],
    ["a%00b", 400],
    ["a%7fb", 400],
    ["%", 400],
    ["%zz", 400],
    ["k".repeat(250), 404],
    ["k".repeat(251), 400],
    ["%ff%fe", 404],
    ["a%2Fb", 404],
    ["a/b", 400],
  ])("key '%.12s' is answered %i", async (key, status) => {
    const { text } = await exchange(on.port, [get(key)], { enough: 1 });
    expect(answers(text)[0]!.status).toBe(status);
  });

  test("keys are bytes: %ff is one byte, %41 and A are one key", async () => {
    await store("%ff", "one");
    expect(await (await call("/kv/%FF")).text()).toBe("one");
    expect(on.service.cache.cold.get("\xff")).not.toBeNull();
    await store("%41", "two");
    expect(await (await call("/kv/A")).text()).toBe("two");
  });

  test("ttl ends a value in both tiers", async () => {
    await store("brief", "x", "?ttl=0.4");
    await call("/kv/brief");
    await call("/kv/brief");
    const hot = await call("/kv/brief");
    expect(hot.headers.get("cache-status")).toBe("bmc-hot; hit");
    await sleep(450);
    const late = await call("/kv/brief");
    expect(late.status).toBe(404);
    expect(late.headers.get("cache-status")).toContain("bmc-hot; fwd=stale; detail=expired");
  });

  test.each(["0", "-1", "x", "1e3", ""])("ttl '%s' is answered 400", async (ttl) => {
    expect((await store("t", "x", `?ttl=${ttl}`)).status).toBe(400);
  });

  test("1 MiB is stored; a byte more is answered 413, and the connection serves on", async () => {
    expect((await store("max", Buffer.alloc(1 << 20))).status).toBe(201);
    expect((await store("max", Buffer.alloc((1 << 20) + 1))).status).toBe(413);
    expect((await store("max", Buffer.alloc(3 << 20))).status).toBe(413);
    expect((await (await call("/kv/max")).arrayBuffer()).byteLength).toBe(1 << 20);
  });

  test("another method is answered 405 with Allow", async () => {
    const answer = await call("/kv/x", { method: "POST" });
    expect([answer.status, answer.headers.get("allow")]).toEqual([405, "GET, HEAD, PUT, DELETE"]);
    expect((await call("/healthz", { method: "PUT" })).status).toBe(405);
    expect((await call("/nope")).status).toBe(404);
    expect(await (await call("/kv")).json()).toMatchObject({
      statusCode: 404,
      message: "no route /kv; keys are at /kv/KEY",
    });
    expect(await (await call("/kv/a/b", { method: "PUT", body: "x" })).json()).toMatchObject({
      statusCode: 400,
      message: "key has a / at byte 1; write / as %2F",
    });
  });

  test("Cache-Status tells why a request crossed, Server-Timing what the model charges", async () => {
    await store("why", "v");
    const seen: (string | null)[] = [];
    for (let i = 0; i < 3; i++) seen.push((await call("/kv/why")).headers.get("cache-status"));
    expect(seen).toEqual([
      "bmc-cold; hit, bmc-hot; fwd=uri-miss; detail=not-admitted",
      "bmc-cold; hit, bmc-hot; fwd=uri-miss; stored; detail=miss",
      "bmc-hot; hit",
    ]);
    await store("large", "v".repeat(1001));
    expect((await call("/kv/large")).headers.get("cache-status")).toContain("detail=too-big");
    expect((await call("/kv/why?x")).headers.get("cache-status")).toContain("detail=unsupported");
    const timing = (await call("/kv/large")).headers.get("server-timing") ?? "";
    for (const part of ["hook", "program", "stack", "crossing", "copy", "store", "total"]) {
      expect(timing).toMatch(new RegExp(`model-${part};dur=\\d`));
    }
  });

  test("two keys of one hash share a slot and are both answered right", async () => {
    await store("declinate0123456", "first");
    await store("macallums0123456", "second");
    for (let i = 0; i < 4; i++) {
      expect(await (await call("/kv/declinate0123456")).text()).toBe("first");
      expect(await (await call("/kv/macallums0123456")).text()).toBe("second");
    }
    expect((await call("/kv/declinate0123456")).headers.get("cache-status")).toContain("detail=collision");
  });
});

describe("operation", () => {
  test("health, readiness and the description answer", async () => {
    expect((await call("/healthz")).status).toBe(200);
    expect((await call("/readyz")).status).toBe(200);
    const doc = (await (await call("/openapi.json")).json()) as { paths: Record<string, object> };
    expect(Object.keys(doc.paths["/kv/{key}"]!)).toEqual(["parameters", "get", "head", "put", "delete"]);
  });

  test("a cold tier that cannot answer is 503 with Retry-After, and hot hits go on", async () => {
    let down = false;
    const inner = new Map<string, Parameters<Parameters<ColdStore["update"]>[1]>[0]>();
    const refuse = () => {
      if (down) throw new StoreUnavailable("the store is down", 3);
    };
    const cold: ColdStore = {
      name: "flaky",
      async get(key) {
        refuse();
        return inner.get(key) ?? null;
      },
      async update(key, change) {
        refuse();
        const { next, result } = change(inner.get(key) ?? null);
        if (next !== "keep" && next !== "delete") inner.set(key, { ...next, cas: 1n });
        return result;
      },
      clear: () => inner.clear(),
      stats: () => ({ items: inner.size, bytes: 0, evictions: 0, expirations: 0 }),
      close() {},
    };
    const flaky = await start({ admission: "always" }, {}, { cold });
    const at = (key: string, init?: RequestInit) => fetch(`${flaky.url}/kv/${key}`, init);
    await at("k", { method: "PUT", body: "v" });
    await at("k");
    down = true;
    const refused = [await at("other"), await at("k2", { method: "PUT", body: "w" })];
    for (const { status, headers } of refused)
      expect([status, headers.get("retry-after")]).toEqual([503, "3"]);
    expect(await (await at("k")).text()).toBe("v");
    // A write that failed leaves nothing hot: nobody knows whether the store took it.
    expect((await at("k", { method: "PUT", body: "w" })).status).toBe(503);
    expect((await at("k")).status).toBe(503);
    await flaky.service.close();
  });
});
