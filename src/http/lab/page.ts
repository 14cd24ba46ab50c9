/** The built page under /lab/, with the headers that keep it to itself. `/` leads there. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fastifyStatic } from "@fastify/static";
import type { FastifyInstance } from "fastify";
import { problem } from "../problem.ts";

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** @param directory where the build put the page; it may be missing, and then the page says so */
export function registerLabPage(app: FastifyInstance, directory: string): void {
  app.get("/", (_request, reply) => reply.redirect("/lab/"));
  if (!existsSync(join(directory, "index.html"))) {
    app.get("/lab/", (_request, reply) =>
      reply.code(503).send(problem(503, "the lab page is not built: run npm run build")),
    );
    return;
  }
  app.register(fastifyStatic, {
    root: directory,
    prefix: "/lab/",
    redirect: true,
    preCompressed: true,
    cacheControl: false,
    setHeaders: (response, path) => {
      response.header("content-security-policy", POLICY);
      response.header("x-content-type-options", "nosniff");
      response.header("referrer-policy", "no-referrer");
      // Asset names carry their content's hash; the page itself must be asked for each time.
      const isHashed = path.includes("/assets/");
      response.header("cache-control", isHashed ? "public, max-age=31536000, immutable" : "no-cache");
    },
  });
}
