/**
 * A service of several workers for tests, as its own process on a newer Node. A line on stdin ends worker N at
 * once, wherever it is: "kill 0". Prints what it listens on, then what the supervisor counts on "restarts".
 */
import { createInterface } from "node:readline";
import { pino } from "pino";
import { serveConfig } from "../../src/cli/serve.ts";
import { superviseWorkers } from "../../src/cli/workers/supervise.ts";

const config = serveConfig(JSON.parse(process.argv[2] ?? "{}"), {});
const running = await superviseWorkers(
  config,
  pino({ level: "error" }, pino.destination({ fd: 2, sync: true })),
);
const say = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`);
say({ url: running.url, memcached: running.memcached });
createInterface(process.stdin)
  .on("line", (line) => {
    const [word, cpu] = line.split(" ");
    if (word === "kill") void running.supervisor.threads.get(Number(cpu))?.terminate();
  })
  .on("close", () => void running.stop());
