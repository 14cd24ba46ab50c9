/**
 * Random byte streams for one HTTP connection: ordinary requests, the known ways to make two parsers
 * disagree about where a request ends, and bytes changed at random. A seed gives one stream for ever.
 */
import { Prng } from "../../src/sim/prng.ts";

/** What the client does once it has sent all: wait, send FIN and read on, or go away. */
export type Finish = "wait" | "half-close" | "leave";

export type HostileStream = {
  /** Latin-1, one char a byte. */
  readonly messages: readonly string[];
  /** Where the joined messages are cut, and how long the client rests before each cut's second part. */
  readonly cuts: readonly { readonly at: number; readonly restMs: number }[];
  readonly finish: Finish;
  /** Does the client rest after each message until its answer must be there? */
  readonly settled: boolean;
};

/** Keys that are there, small and too big for the hot tier, and one that is not. */
export const KEYS = ["a", "b", "big", "none"] as const;

type Draw = { readonly prng: Prng; readonly key: () => string };

function pick<T>(prng: Prng, from: readonly T[]): T {
  return from[prng.below(from.length)] as T;
}

const HARMLESS = [
  "",
  "",
  "X-A: b\r\n",
  "Accept: */*\r\nUser-Agent: curl/8.5.0\r\n",
  "Connection: keep-alive\r\n",
  "Content-Type: nonsense\r\n",
  "Cookie: a=b; c=d\r\n",
];

/** Header fields whose reading is known to differ between parsers, or that change what a connection does. */
const HOSTILE_FIELDS = [
  "Connection: close\r\n",
  "connection:close\r\n",
  "Connection: keep-alive, close\r\n",
  "Connection: Upgrade\r\nUpgrade: websocket\r\n",
  "Upgrade: h2c\r\n",
  "Connection: x, upgrade\r\n",
  "Proxy-Connection: close\r\n",
  "Expect: 100-continue\r\n",
  "Expect: nonsense\r\n",
  "expect:100-continue\r\n",
  "If-None-Match: *\r\n",
  "Range: bytes=0-1\r\n",
  "Cache-Control: no-cache\r\n",
  "Content-Length: 0\r\n",
  "Content-Length:0\r\n",
  "Content-Length: 3\r\n",
  "Content-Length: +5\r\n",
  "Content-Length: -5\r\n",
  "Content-Length: 0x5\r\n",
  "Content-Length: 5,5\r\n",
  "Content-Length: 5, 5\r\n",
  "Content-Length: 5 5\r\n",
  "Content-Length:  5\r\n",
  "Content-Length: 5 \r\n",
  "Content-Length:\t5\r\n",
  "Content-Length: 05\r\n",
  "Content-Length: 000000005\r\n",
  "Content-Length: 99999999\r\n",
  "Content-Length: 18446744073709551621\r\n",
  "Content-Length: \r\n",
  "Content-Length:\r\n",
  "Content-Length : 5\r\n",
  "Content_Length: 5\r\n",
  "Content-Length: 5\r\nContent-Length: 5\r\n",
  "Content-Length: 5\r\nContent-Length: 6\r\n",
  "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
  "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding: identity\r\n",
  "Transfer-Encoding: chunked, identity\r\n",
  "Transfer-Encoding: gzip, chunked\r\n",
  "Transfer-Encoding: xchunked\r\n",
  "Transfer-Encoding : chunked\r\n",
  "Transfer-Encoding:\x0bchunked\r\n",
  "transfer-encoding:chunked\r\ntransfer-encoding: chunked\r\n",
  "Transfer-Encoding\r\n",
  "TE: trailers\r\n",
  "Trailer: x\r\n",
  "X: a\r\n b\r\n",
  "X: a\r\n\tb\r\n",
  " X: a\r\n",
  "X : a\r\n",
  "X\t: a\r\n",
  ": a\r\n",
  "X\r\n",
  "X: a\n",
  "X: a\rY: b\r\n",
  "X: a\r\r\n",
  "X: a\0b\r\n",
  "X: \x7f\r\n",
  "X: \x80\xff\r\n",
  "X\x80: a\r\n",
  "X!#$%&'*+.^`|~: a\r\n",
  "X(y): a\r\n",
  "Host: again\r\n",
  "Host:\r\n",
  `X: ${"v".repeat(4_050)}\r\n`,
  `X: ${"v".repeat(17_000)}\r\n`,
  `${"n".repeat(130)}: a\r\n`,
  "X: a\r\n".repeat(70),
  "X: a\r\n".repeat(61),
];

const TARGETS = (key: string) => [
  `http://host/kv/${key}`,
  `HTTP://host:80/kv/${key}?x`,
  `//kv/${key}`,
  `/kv//${key}`,
  `/kv/${key}/`,
  `/kv/${key}?ttl=60`,
  `/kv/${key}?ttl=x`,
  `/kv/${key}?`,
  `/kv/${key}#f`,
  `/kv/%61${key.slice(1)}`,
  `/kv/${key}%`,
  `/kv/${key}%zz`,
  `/kv/${key}%00`,
  `/kv/${key};x`,
  `/kv/./${key}`,
  `/kv/../kv/${key}`,
  `/KV/${key}`,
  `/kv/${key}\\`,
  `/kv/ ${key}`,
  `/kv/${key} x`,
  `/kv/${key}\t`,
  `/kv/\x80${key}`,
  "/kv/",
  "/kv",
  "/",
  "*",
  "/healthz",
  "/nope",
  `/kv/${key.padEnd(250, "_")}`,
  `/kv/${key.padEnd(251, "_")}`,
  `/kv/${"k".repeat(4_100)}`,
  `kv/${key}`,
  "host:443",
  "",
];

const METHODS = ["GET", "GET", "GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "OPTIONS"] as const;
const STRANGE_METHODS = [
  "TRACE",
  "CONNECT",
  "BREW",
  "get",
  "GETT",
  "PRI",
  "M-SEARCH",
  " GET",
  "GET ",
  "G\0T",
  "",
];
const VERSIONS = [
  "HTTP/1.0",
  "HTTP/1.1 ",
  "HTTP/1.2",
  "HTTP/2.0",
  "HTTP/0.9",
  "http/1.1",
  "HTTP/1.1x",
  "HTTP/11",
  "",
];
const CHUNKED = (value: string) => [
  `5\r\nhello\r\n0\r\n\r\n`,
  `5;ext=1\r\nhello\r\n0\r\n\r\n`,
  `5;ext="\r\n"\r\nhello\r\n0\r\n\r\n`,
  `5;\r\nhello\r\n0;x\r\n\r\n`,
  `5 \r\nhello\r\n0\r\n\r\n`,
  `05\r\nhello\r\n000\r\n\r\n`,
  `0x5\r\nhello\r\n0\r\n\r\n`,
  `5\nhello\n0\n\n`,
  `5\r\nhello0\r\n\r\n`,
  `5\r\nhello\r\n0\r\nTrailer: a\r\n\r\n`,
  `5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n`,
  `fffffffffffffffff\r\nhello\r\n0\r\n\r\n`,
  `-5\r\nhello\r\n0\r\n\r\n`,
  `0\r\n\r\n`,
  `0\r\n`,
  `${value.length.toString(16)}\r\n${value}\r\n0\r\n\r\n`,
];

function request(method: string, target: string, fields: string, body = ""): string {
  return `${method} ${target} HTTP/1.1\r\nHost: test\r\n${fields}\r\n${body}`;
}

/** Requests every parser reads alike. */
const PLAIN: readonly ((draw: Draw) => string)[] = [
  ({ prng, key }) => request("GET", `/kv/${key()}`, pick(prng, HARMLESS)),
  ({ prng, key }) => request("GET", `/kv/${key()}`, pick(prng, HARMLESS)),
  ({ key }) => request("GET", `/kv/${key()}`, "").repeat(3),
  ({ prng, key }) => request("HEAD", `/kv/${key()}`, pick(prng, HARMLESS)),
  ({ prng, key }) => request("DELETE", `/kv/${key()}`, pick(prng, HARMLESS)),
  ({ prng, key }) => {
    const value = pick(prng, [
      "",
      "x",
      request("GET", `/kv/${key()}`, ""),
      "v".repeat(900),
      "v".repeat(6_000),
    ]);
    return request("PUT", `/kv/${key()}`, `Content-Length: ${value.length}\r\n`, value);
  },
];

const HOSTILE: readonly ((draw: Draw) => string)[] = [
  // One or two fields, with a body that is as long as most of them say.
  ({ prng, key }) => {
    const fields = pick(prng, HOSTILE_FIELDS) + (prng.below(3) === 0 ? pick(prng, HOSTILE_FIELDS) : "");
    return request(pick(prng, METHODS), `/kv/${key()}`, fields, pick(prng, ["", "hello", "abc"]));
  },
  ({ prng, key }) => {
    const fields = pick(prng, HARMLESS) + pick(prng, HOSTILE_FIELDS) + pick(prng, HARMLESS);
    return request("GET", `/kv/${key()}`, fields);
  },
  ({ prng, key }) => {
    const fields = `${pick(prng, HARMLESS)}Transfer-Encoding: chunked\r\n`;
    const body = pick(prng, CHUNKED(request("GET", `/kv/${key()}`, "")));
    return request(pick(prng, ["PUT", "PUT", "GET", "POST"]), `/kv/${key()}`, fields, body);
  },
  ({ prng, key }) => request(pick(prng, METHODS), pick(prng, TARGETS(key())), ""),
  ({ prng, key }) => request(pick(prng, STRANGE_METHODS), `/kv/${key()}`, ""),
  ({ prng, key }) => {
    const connection = pick(prng, ["", "", "Connection: keep-alive\r\n", "Connection: close\r\n"]);
    return `${pick(prng, METHODS)} /kv/${key()} ${pick(prng, VERSIONS)}\r\nHost: test\r\n${connection}\r\n`;
  },
  // No Host, and line ends that are not.
  ({ key }) => `GET /kv/${key()} HTTP/1.1\r\n\r\n`,
  ({ key }) => request("GET", `/kv/${key()}`, "").replaceAll("\r\n", "\n"),
  ({ key }) => request("GET", `/kv/${key()}`, "").replaceAll("\r\n", "\r"),
  ({ prng, key }) =>
    pick(prng, ["\r\n", "\n", "\r\n\r\n", " ", "\0", "\r"]) + request("GET", `/kv/${key()}`, ""),
  ({ prng, key }) =>
    request("GET", `/kv/${key()}`, "") + pick(prng, ["garbage", "GET /kv/", "\r\n", "\x16\x03\x01", "\r\r"]),
  ({ key }) => `GET /kv/${key()}\r\n`,
  // A body that ends too early.
  ({ key }) => request("PUT", `/kv/${key()}`, "Content-Length: 40\r\n", "hello"),
];

const ODD_BYTES = [
  "\r",
  "\n",
  "\0",
  " ",
  "\t",
  ":",
  "/",
  "%",
  "?",
  "\x80",
  "0",
  "g",
  "\r\n",
  "\x7f",
  ",",
  ";",
];

/** Changes, adds or takes away one byte. */
function mutated(text: string, prng: Prng): string {
  const at = prng.below(text.length + 1);
  const kind = prng.below(3);
  const bytes = kind === 0 ? "" : pick(prng, ODD_BYTES);
  return text.slice(0, at) + bytes + text.slice(kind === 1 ? at : at + 1);
}

/** @param suffix of every key, so that streams may run side by side */
export function hostileStream(seed: number, suffix: string): HostileStream {
  const prng = new Prng(seed);
  const draw = { prng, key: () => pick(prng, KEYS) + suffix };
  const messages: string[] = [];
  const count = 1 + prng.below(6);
  for (let i = 0; i < count; i++) {
    const made = pick(prng, prng.below(4) === 0 ? HOSTILE : PLAIN)(draw);
    messages.push(prng.below(12) === 0 ? mutated(made, prng) : made);
  }
  const joined = messages.join("");
  // Behind a head is where a body could be taken for a request.
  const heads = [...joined.matchAll(/\r\n\r\n/g)].map(({ index }) => index + 4);
  const places = new Set<number>();
  for (let cuts = prng.below(4); cuts > 0; cuts--) {
    places.add(
      heads.length > 0 && prng.below(2) === 0
        ? pick(prng, heads)
        : 1 + prng.below(Math.max(1, joined.length - 1)),
    );
  }
  const cuts = [...places].sort((a, b) => a - b).map((at) => ({ at, restMs: pick(prng, [1, 1, 3, 20]) }));
  const finish = pick<Finish>(prng, ["wait", "wait", "wait", "wait", "half-close", "half-close", "leave"]);
  return { messages, cuts, finish, settled: prng.below(2) === 0 };
}
