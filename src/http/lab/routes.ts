/** The lab's JSON endpoints (described in /openapi.json) and its stream of snapshots. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { ledger } from "../../costs/ledger.ts";
import { problem } from "../problem.ts";
import {
  ATTACH_PLACES,
  type LabBackend,
  LOAD_LIMITS,
  MAX_UPLOAD_BYTES,
  Unfulfillable,
  type Upload,
} from "./backend.ts";
import type { LabGuard } from "./guard.ts";

const EVENT_EVERY_MS = 500;
/** Open streams: each costs a timer and a snapshot twice a second. */
const MAX_STREAMS = 64;
const MAX_BODY_BYTES = 4_096;

const SETTINGS = z.strictObject({
  offload: z.enum(["on", "off"]).optional(),
  profile: z.string().optional(),
  costsScale: z.number().min(0).max(1e6).optional(),
});
const LOAD = z.strictObject({
  keys: z.int().min(1).max(LOAD_LIMITS.maxKeys),
  skew: z.number().min(0).max(5),
  valueBytes: z.int().min(1).max(LOAD_LIMITS.maxValueBytes),
  writeShare: z.number().min(0).max(1),
  ratePerSecond: z.int().min(1).max(LOAD_LIMITS.maxRatePerSecond),
  seconds: z.int().min(1).max(LOAD_LIMITS.maxSeconds),
});
const NOTHING = z.strictObject({});
const PLACE = z.strictObject({ place: z.enum(ATTACH_PLACES) });

export function registerLabRoutes(
  app: FastifyInstance,
  backend: LabBackend,
  guard: LabGuard,
  closing: () => boolean,
): void {
  const read = (url: string, answer: (reply: FastifyReply, request: FastifyRequest) => FastifyReply) => {
    app.get(url, (request, reply) => {
      const refused = guard.readProblem(request);
      return refused === null ? answer(reply, request) : reply.code(403).send(problem(403, refused));
    });
  };
  const attachProblem = (request: FastifyRequest) =>
    backend.canWrite
      ? guard.attachProblem(request)
      : "start the service with --lab-write to exchange its programs";
  const write = <T>(
    url: string,
    parse: (request: FastifyRequest) => Parsed<T>,
    act: (body: T) => unknown,
    further: (request: FastifyRequest) => string | null = () => null,
  ) => {
    app.post(url, async (request, reply) => {
      const refused = guard.writeProblem(request) ?? further(request);
      if (refused !== null) return reply.code(403).send(problem(403, refused));
      const body = parse(request);
      if ("fault" in body) return reply.code(body.code ?? 400).send(problem(body.code ?? 400, body.fault));
      try {
        await act(body.value);
      } catch (error) {
        if (!(error instanceof Unfulfillable)) throw error;
        return reply.code(409).send(problem(409, error.message));
      }
      return reply.code(204).send();
    });
  };

  read("/api/lab/session", (reply, request) =>
    reply.header("cache-control", "no-store").send({
      token: guard.token,
      whyNotAttach: attachProblem(request),
      places: backend.places,
      profiles: backend.profiles,
      limits: LOAD_LIMITS,
    }),
  );
  read("/api/lab/requests", (reply) =>
    reply.send(
      backend.samples().map(({ facts, profile, ...sample }) => {
        const lines = ledger(profile, facts);
        return { ...sample, modelledNs: lines.reduce((sum, line) => sum + line.ns, 0), ledger: lines };
      }),
    ),
  );
  write("/api/lab/settings", json(SETTINGS), (body) => backend.change(body));
  write("/api/lab/load", json(LOAD), (body) => backend.startLoad(body));
  write("/api/lab/load/stop", json(NOTHING), () => backend.stopLoad());
  write("/api/lab/clear", json(NOTHING), () => backend.clear());
  write("/api/lab/attach", parseUpload, (upload) => backend.attach(upload), attachProblem);
  write("/api/lab/detach", json(PLACE), ({ place }) => backend.detach(place), attachProblem);
  write("/api/lab/restore", json(PLACE), ({ place }) => backend.restore(place), attachProblem);

  let streams = 0;
  read("/api/lab/events", (reply) => {
    if (streams >= MAX_STREAMS) {
      return reply
        .code(503)
        .header("retry-after", "5")
        .send(problem(503, `${streams} streams are open already`));
    }
    streams++;
    reply.hijack();
    const { raw } = reply;
    raw.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    const tick = () => {
      if (closing()) raw.end();
      // A reader that does not keep up misses snapshots instead of piling them up here.
      else if (!raw.writableNeedDrain) raw.write(`data: ${JSON.stringify(backend.snapshot())}\n\n`);
    };
    const timer = setInterval(tick, EVENT_EVERY_MS);
    raw.once("close", () => {
      clearInterval(timer);
      streams--;
    });
    tick();
    return reply;
  });
}

type Parsed<T> = { readonly value: T } | { readonly fault: string; readonly code?: number };

const json =
  <T>(schema: z.ZodType<T>) =>
  (request: FastifyRequest): Parsed<T> =>
    parseBody(request, schema);

/** Assembly as text/plain; an object file as anything else, with the program's name beside it. */
function parseUpload(request: FastifyRequest): Parsed<Upload> {
  const { body, headers } = request;
  const bytes = Buffer.isBuffer(body) ? body : Buffer.alloc(0);
  if (bytes.length === 0)
    return { fault: "the body is empty; send assembly as text/plain or an object file" };
  if (bytes.length > MAX_UPLOAD_BYTES) {
    return { code: 413, fault: `a program of ${bytes.length} bytes; at most ${MAX_UPLOAD_BYTES} are taken` };
  }
  const { program } = request.query as { readonly program?: unknown };
  if (headers["content-type"]?.startsWith("text/plain")) {
    return { value: { kind: "text", text: bytes.toString("utf8") } };
  }
  if (typeof program !== "string" || program === "")
    return { fault: "?program= must name one of the object's programs" };
  return { value: { kind: "object", bytes: Uint8Array.from(bytes), program } };
}

function parseBody<T>(request: FastifyRequest, schema: z.ZodType<T>): Parsed<T> {
  const { body } = request;
  const bytes = Buffer.isBuffer(body) ? body : Buffer.alloc(0);
  if (bytes.length > MAX_BODY_BYTES) {
    return { fault: `body of ${bytes.length} bytes; at most ${MAX_BODY_BYTES} are read` };
  }
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString("utf8"));
  } catch {
    return { fault: "the body is not JSON" };
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return { value: parsed.data };
  const [issue] = parsed.error.issues;
  const where = issue && issue.path.length > 0 ? `${issue.path.join(".")}: ` : "";
  return { fault: `${where}${issue?.message ?? "not what this endpoint takes"}` };
}
