/** What operates the service: health, readiness, metrics and the machine-readable description. */
import type { FastifyInstance, RouteHandlerMethod } from "fastify";
import { OPENAPI } from "./openapi.ts";
import type { AppOptions } from "./options.ts";
import { problem } from "./problem.ts";

export function registerServiceRoutes(app: FastifyInstance, options: AppOptions): void {
  const get = (url: string, handler: RouteHandlerMethod) => {
    app.get(url, { exposeHeadRoute: true }, handler);
  };
  get("/healthz", (_request, reply) => reply.send({ status: "ok" }));
  get("/readyz", (_request, reply) => {
    const reason = options.notReady();
    if (reason === null) return reply.send({ status: "ready" });
    return reply.code(503).header("retry-after", "1").send(problem(503, reason));
  });
  get("/metrics", async (_request, reply) => {
    const text = await options.metrics.metrics();
    return reply.header("content-type", options.metrics.contentType).send(text);
  });
  get("/openapi.json", (_request, reply) =>
    reply.header("content-type", "application/json; charset=utf-8").send(OPENAPI),
  );
}
