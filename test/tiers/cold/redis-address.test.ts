import { describe, expect, test } from "vitest";
import { parseRedisAddress, withoutPassword } from "../../../src/tiers/cold/redis-address.ts";

const at = (host: string, port: number) => ({ host, port });
const plain = { tls: false, username: null, password: null, database: 0, master: "" };

describe("an address of Redis", () => {
  test.each([
    ["redis://h", { ...plain, kind: "server", hosts: [at("h", 6379)] }],
    ["redis://h:1/3", { ...plain, kind: "server", hosts: [at("h", 1)], database: 3 }],
    ["redis://[::1]:2", { ...plain, kind: "server", hosts: [at("::1", 2)] }],
    [
      "rediss://u:p%40%3A@h:1",
      { ...plain, kind: "server", hosts: [at("h", 1)], tls: true, username: "u", password: "p@:" },
    ],
    ["redis://:p@h", { ...plain, kind: "server", hosts: [at("h", 6379)], password: "p" }],
    ["redis+cluster://a:1", { ...plain, kind: "cluster", hosts: [at("a", 1)] }],
    ["redis://a:1,b:2", { ...plain, kind: "cluster", hosts: [at("a", 1), at("b", 2)] }],
    [
      "rediss+cluster://a,b:2/0",
      { ...plain, kind: "cluster", hosts: [at("a", 6379), at("b", 2)], tls: true },
    ],
    [
      "redis+sentinel://a:1,b/mine",
      { ...plain, kind: "sentinel", hosts: [at("a", 1), at("b", 26379)], master: "mine" },
    ],
    [
      "redis+sentinel://a:1/mine/2",
      { ...plain, kind: "sentinel", hosts: [at("a", 1)], master: "mine", database: 2 },
    ],
  ])("%s", (text, expected) => {
    expect(parseRedisAddress(text)).toEqual(expected);
  });

  test.each([
    "",
    "redis:",
    "redis://",
    "http://h",
    "redis://h:x",
    "redis://h:70000",
    "redis://h/x",
    "redis://h/1/2",
    "redis://a b",
    "redis+cluster://a:1/2",
    "redis+sentinel://a:1",
    "redis+sentinel://a:1/",
    "redis+other://a",
    "redis://a,,b",
    "redis://%zz@h",
    "redis://::1:2",
  ])("%j is none", (text) => {
    expect(parseRedisAddress(text)).toBeNull();
  });

  test("is shown without its password", () => {
    expect(withoutPassword("rediss+cluster://u:secret@a:1,b:2")).toBe("rediss+cluster://a:1,b:2");
  });
});
