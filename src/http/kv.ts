/**
 * GET, HEAD, PUT and DELETE on /kv/:key. Bytes in, bytes out. The headers of a 200 stand in the order and
 * case the program at the hook writes them, so that a hot and a cold answer differ in Cache-Status alone.
 * Reads measure from the head's arrival to the answer's hand-over to the kernel.
 */
import type { IncomingMessage } from "node:http";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { CrossingNote } from "../hooks/tcp-stream.ts";
import type { Change, Item, Key, MaybePromise } from "../tiers/cold/store.ts";
import { CROSSINGS, type Crossing } from "../tiers/crossing.ts";
import type { ReadOutcome } from "../tiers/tiered-cache.ts";
import { collectBody } from "./body.ts";
import { cacheStatus } from "./cache-status.ts";
import type { AppOptions } from "./options.ts";
import { problem, sendFault } from "./problem.ts";
import { ServerTiming } from "./server-timing.ts";
import { parseTarget, ttlMs } from "./target.ts";
import { inTurn, queue } from "./write-gate.ts";

/** Head of a small request and of its answer, for the bytes the cold path copies besides the value. */
const HEAD_BYTES = 300;
const NOTHING = Buffer.alloc(0);

/** Where a request whose handler runs later keeps what the hook said of it. */
const NOTE = Symbol("crossing");
type Noted = IncomingMessage & { [NOTE]?: CrossingNote };

/** What a fill decision makes of a plain miss: the request will cross again for this reason. */
const LASTING: Readonly<Record<string, Crossing>> = { "too-big": "too-big", "key-too-long": "key-too-long" };

/** The route is static and reads the key itself: it is reached without one, too. */
function withoutKey(reply: FastifyReply): FastifyReply {
  return reply.code(404).send(problem(404, "no route /kv; keys are at /kv/KEY"));
}

export function registerKv(app: FastifyInstance, options: AppOptions): void {
  const { cache, meter, nowNs, nowMs } = options;
  const stats = meter.stats;
  const timing = new ServerTiming(meter.profile);

  // Before Fastify's own listener: the clock starts when the head is there, and each request takes the
  // note the hook left for it, also those that no handler below will see.
  let arrivedNs = 0;
  let crossed: CrossingNote = { why: 0, hookRuns: 0, instructions: 0 };
  app.server.prependListener("request", (request: Noted, response) => {
    arrivedNs = nowNs();
    crossed = options.crossing(response);
    queue(request, response);
    if (options.closing()) response.setHeader("Connection", "close");
    // A write is handled when its body is there, and others may have come by then.
    if (request.method !== "GET") request[NOTE] = { ...crossed };
  });

  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (request, payload, done) => {
    collectBody(request.headers["content-length"], payload, options.maxValueBytes, done);
  });

  const read = (request: FastifyRequest, reply: FastifyReply, withBody: boolean) => {
    const startNs = arrivedNs;
    const crossing = CROSSINGS[crossed.why]!.name;
    const { hookRuns, instructions } = crossed;
    stats.crossed(crossing);
    const target = parseTarget(request.originalUrl);
    if (target === null) return withoutKey(reply);
    if ("fault" in target) {
      reply.header("cache-status", cacheStatus("miss", crossing));
      return reply.code(400).send(problem(400, target.fault));
    }
    const outcome: ReadOutcome = { fill: null };
    const answer = (item: Item | null) => {
      const status = readStatus(item, crossing, outcome);
      meter.cold.hookRuns = hookRuns;
      meter.cold.instructions = instructions;
      meter.cold.nativeBytes = HEAD_BYTES + (item === null || !withBody ? 0 : item.value.length);
      meter.chargeCold();
      sendItem(reply, item, status, timing.of(meter.cold), withBody);
      const now = nowNs();
      stats.observed.cold.observe(now - startNs);
      if (now >= options.sampler.dueNs.cold) {
        options.sampler.take({
          method: request.method,
          key: target.key,
          status: item === null ? 404 : 200,
          tier: "cold",
          crossed: crossing,
          observedNs: now - startNs,
          facts: meter.cold,
          profile: meter.profile,
        });
      }
    };
    const fail = (error: unknown) => {
      reply.header("cache-status", cacheStatus("miss", crossing));
      sendFault(reply, error, options.onError);
    };
    inTurn(request.raw, () => settle(() => cache.get(target.key, outcome), answer, fail));
    return reply;
  };

  const write = <T>(
    request: FastifyRequest,
    reply: FastifyReply,
    change: (ttl: number) => (old: Item | null) => Change<T>,
    answer: (result: T) => void,
  ) => {
    const target = parseTarget(request.originalUrl);
    if (target === null) return withoutKey(reply);
    const note = (request.raw as Noted)[NOTE] ?? crossed;
    const why = CROSSINGS[note.why]!.name;
    reply.header("cache-status", cacheStatus("write", why));
    stats.crossed(why);
    const ttl = "fault" in target ? target : ttlMs(target.query);
    if (typeof ttl !== "number") return reply.code(400).send(problem(400, ttl.fault));
    const { key } = target as { key: Key };
    const fail = (error: unknown) => {
      sendFault(reply, error, options.onError);
    };
    inTurn(request.raw, () => {
      // The body may have come after the service began to close.
      if (options.closing()) reply.header("connection", "close");
      const charged = (result: T) => {
        meter.cold.hookRuns = note.hookRuns;
        meter.cold.instructions = note.instructions;
        meter.cold.nativeBytes = HEAD_BYTES + (Buffer.isBuffer(request.body) ? request.body.length : 0);
        meter.chargeWrite();
        reply.header("server-timing", timing.of(meter.cold));
        answer(result);
      };
      settle(() => cache.update(key, change(ttl)), charged, fail);
    });
    return reply;
  };

  app.get("/kv", (request, reply) => read(request, reply, true));
  app.head("/kv", (request, reply) => read(request, reply, false));
  app.put("/kv", (request, reply) => {
    const value = (request.body as Buffer | undefined) ?? NOTHING;
    return write(
      request,
      reply,
      (ttl) => {
        const next = { value, flags: 0, expiresAtMs: ttl === 0 ? 0 : nowMs() + ttl };
        return (old) => ({ next, result: old === null });
      },
      (created) => reply.code(created ? 201 : 204).send(),
    );
  });
  app.delete("/kv", (request, reply) =>
    write(
      request,
      reply,
      () => (old) => ({ next: old === null ? "keep" : "delete", result: old !== null }),
      (existed) => {
        if (existed) reply.code(204).send();
        else reply.code(404).send(problem(404, "no such key"));
      },
    ),
  );
}

function readStatus(item: Item | null, crossing: Crossing, outcome: ReadOutcome): string {
  if (item === null) return cacheStatus("miss", crossing);
  const { fill } = outcome;
  const lasting = fill === null ? undefined : LASTING[fill];
  // Lasting reasons first: whatever the slot looked like, such a key crosses every time.
  if (lasting !== undefined) return cacheStatus("hit", lasting);
  const why = crossing === "miss" && fill === "not-admitted" ? fill : crossing;
  return cacheStatus("hit", why, fill === "stored");
}

function sendItem(
  reply: FastifyReply,
  item: Item | null,
  status: string,
  timing: string,
  withBody: boolean,
): void {
  if (item === null) {
    reply.code(404).header("cache-status", status).header("server-timing", timing);
    reply.send(problem(404, "no such key"));
    return;
  }
  reply
    .header("content-type", "application/octet-stream")
    .header("cache-status", status)
    .header("content-length", item.value.length)
    .header("server-timing", timing);
  reply.send(withBody ? item.value : null);
}

/** Runs a store operation and goes on at once where the answer is there, else when it comes. */
function settle<T>(
  run: () => MaybePromise<T>,
  then: (value: T) => void,
  fail: (error: unknown) => void,
): void {
  let value: MaybePromise<T>;
  try {
    value = run();
  } catch (error) {
    fail(error);
    return;
  }
  if (value instanceof Promise) value.then(then).catch(fail);
  else then(value);
}
