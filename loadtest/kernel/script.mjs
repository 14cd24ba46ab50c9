/**
 * One conversation with a memcached server, over UDP and one TCP connection: `node script.mjs HOST PORT` plays it
 * and prints the reply bytes, one JSON line a step. Plain Node, since it runs inside a network namespace.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** After a write nothing fills its slot for 100 ms (memcached.h, SETTLE_NS). */
const SETTLE_MS = 150;
const REPLY_MS = 1_500;

const set = (key, value, flags = 0) => `set ${key} ${flags} 0 ${value.length}\r\n${value}\r\n`;
const learn = (key) => [
  ["udp", `get ${key}\r\n`],
  ["udp", `get ${key}\r\n`],
];
const STEPS = [
  ["tcp", set("k", "one")],
  ...learn("k"),
  ["tcp", set("k", "three")],
  ...learn("k"),
  ["tcp", set("binary", "a\r\nEND\r\nb\0c\xff", 4_294_967_295)],
  ...learn("binary"),
  // The answer to the write dropped what this connection wrote before, too.
  ...learn("k"),
  // All hot: memcached 1.6 itself answers a multi-get over UDP as several messages.
  ["udp", "get k binary k\r\n"],
  ["udp", "get nowhere\r\n"],
  // Generic XDP has little room behind a packet: a longer reply is left to memcached there.
  ["tcp", set("full", "f".repeat(100))],
  ...learn("full"),
  ["tcp", set("over", "o".repeat(1_001))],
  ...learn("over"),
  ["tcp", set("n", "41")],
  ...learn("n"),
  ["tcp", "incr n 1\r\n"],
  ...learn("n"),
  ["udp", "append k 0 0 1\r\n!\r\n"],
  ["udp", "get k\r\n"],
  ["tcp", "delete binary\r\n"],
  ["udp", "get binary\r\n"],
  // Equal hash, another key.
  ["tcp", set("declinate0123456", "first")],
  ...learn("declinate0123456"),
  ["udp", "get macallums0123456\r\n"],
  // Cut in the middle of the command's name.
  ["tcp", "se", set("full", "short").slice(2)],
  ...learn("full"),
  ["tcp", "flush_all\r\n"],
  ["udp", "get full\r\n"],
];

const [host, port] = [process.argv[2], Number(process.argv[3])];
const tcp = connect(port, host).setNoDelay(true);
await once(tcp, "connect");
const udp = createSocket("udp4");
udp.connect(port, host);
await once(udp, "connect");
let id = 0;

/** What comes until it looks whole, or nothing more in time. */
function reply(source, event, isWhole) {
  return new Promise((resolve) => {
    const chunks = [];
    const done = () => {
      clearTimeout(timer);
      source.off(event, take);
      resolve(Buffer.concat(chunks));
    };
    const take = (chunk) => {
      chunks.push(chunk);
      if (isWhole(Buffer.concat(chunks))) done();
    };
    const timer = setTimeout(done, REPLY_MS);
    source.on(event, take);
  });
}

for (const [wire, ...parts] of STEPS) {
  const text = parts.join("");
  const answer = reply(wire === "udp" ? udp : tcp, wire === "udp" ? "message" : "data", (got) =>
    got.subarray(-2).equals(Buffer.from("\r\n")),
  );
  if (wire === "udp") {
    const frame = Buffer.from([0, ++id, 0, 0, 0, 1, 0, 0]);
    udp.send(Buffer.concat([frame, Buffer.from(text, "latin1")]));
  } else {
    for (const part of parts) {
      tcp.write(Buffer.from(part, "latin1"));
      await sleep(20);
    }
  }
  const bytes = await answer;
  process.stdout.write(
    `${JSON.stringify({ wire, text: text.slice(0, 40), reply: bytes.toString("hex") })}\n`,
  );
  if (!text.startsWith("get ")) await sleep(SETTLE_MS);
}
tcp.destroy();
udp.close();
