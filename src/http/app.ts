/**
 * The userspace HTTP server: Fastify over the tiers, the same with and without a program attached. It
 * learns through `crossingOf` why a request came up from the hook, and says so in `Cache-Status`.
 */
import { type FastifyInstance, fastify } from "fastify";
import { answerClientError } from "./client-error.ts";
import { registerKv } from "./kv.ts";
import { registerLabPage } from "./lab/page.ts";
import { registerLabRoutes } from "./lab/routes.ts";
import { ROUTES } from "./openapi.ts";
import type { AppOptions } from "./options.ts";
import { problem, sendFault } from "./problem.ts";
import { registerServiceRoutes } from "./service-routes.ts";
import { originForm } from "./target.ts";

export function createApp(options: AppOptions): FastifyInstance {
  const app = fastify({
    logger: false,
    keepAliveTimeout: options.keepAliveTimeoutMs,
    requestTimeout: options.requestTimeoutMs,
    exposeHeadRoutes: false,
    // The limit of a head bounds this.
    routerOptions: { maxParamLength: options.maxHeaderBytes },
    return503OnClosing: false,
    clientErrorHandler: (error, socket) => answerClientError(error, socket, options.maxHeaderBytes),
    http: {
      headersTimeout: options.headersTimeoutMs,
      maxHeaderSize: options.maxHeaderBytes,
      connectionsCheckingInterval: options.timeoutCheckMs,
    },
    /**
     * Keys are bytes, and the router would decode them as text and split them: every key goes to the one
     * static route /kv, which reads the untouched target.
     */
    rewriteUrl(request) {
      const target = originForm(request.url ?? "/");
      if (!target.startsWith("/kv/")) return target;
      // A value's media type means nothing here, so a malformed one must not make the request fail.
      if (request.method === "PUT" || request.method === "DELETE") delete request.headers["content-type"];
      return "/kv";
    },
  });
  app.setErrorHandler((error, _request, reply) => sendFault(reply, error, options.onError));
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split("?", 1)[0] ?? "";
    const asksForLab = path === "/lab" || path.startsWith("/lab/") || path.startsWith("/api/lab/");
    if (options.noLab !== undefined && asksForLab) return reply.code(501).send(problem(501, options.noLab));
    const methods = ROUTES.get(path);
    if (methods === undefined) return reply.code(404).send(problem(404, `no route ${path}`));
    return reply
      .code(405)
      .header("allow", methods.join(", "))
      .send(problem(405, `${request.method} is not allowed on this path; allowed: ${methods.join(", ")}`));
  });
  registerKv(app, options);
  registerServiceRoutes(app, options);
  if (options.lab !== null) {
    const { backend, guard, directory } = options.lab;
    registerLabRoutes(app, backend, guard, options.closing);
    registerLabPage(app, directory);
  }
  return app;
}
