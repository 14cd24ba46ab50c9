/** Error answers: one small JSON shape for all, and the status an error stands for. */
import { STATUS_CODES } from "node:http";
import type { FastifyReply } from "fastify";
import { ItemTooLarge, StoreUnavailable } from "../tiers/cold/store.ts";

export type Problem = { readonly statusCode: number; readonly error: string; readonly message: string };

export function problem(statusCode: number, message: string): Problem {
  return { statusCode, error: STATUS_CODES[statusCode] ?? "Error", message };
}

/** Answers an error. Ours and the client's are told as they are; anything else is a 500 and is reported. */
export function sendFault(reply: FastifyReply, error: unknown, report: (error: Error) => void): FastifyReply {
  if (error instanceof StoreUnavailable) {
    reply.header("retry-after", String(Math.max(1, Math.ceil(error.retryAfterSeconds))));
    return reply.code(503).send(problem(503, error.message));
  }
  if (error instanceof ItemTooLarge) return reply.code(413).send(problem(413, error.message));
  const status = error instanceof Error && "statusCode" in error ? Number(error.statusCode) : 500;
  if (status >= 400 && status < 500)
    return reply.code(status).send(problem(status, (error as Error).message));
  report(error instanceof Error ? error : new Error(String(error)));
  return reply.code(500).send(problem(500, "internal error"));
}
