/**
 * Pipelined requests of one connection run in the order they were sent as far as writes go: what follows a
 * write waits until it is answered (RFC 9112 §9.3.2 lets only safe methods run in parallel). Node itself
 * orders the answers alone, and emits the next request while a body is still being collected.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";

type Gate = { open: boolean; readonly waiting: (() => void)[] };
const LAST_WRITE = Symbol("last write");
const BEHIND = Symbol("behind");

type Gated = Socket & { [LAST_WRITE]?: Gate };
type Queued = IncomingMessage & { [BEHIND]?: Gate };

/** Call for every request, when it arrives. */
export function queue(request: IncomingMessage, response: ServerResponse): void {
  const socket = request.socket as Gated;
  const last = socket[LAST_WRITE];
  if (last !== undefined && !last.open) (request as Queued)[BEHIND] = last;
  if (request.method === "GET" || request.method === "HEAD") return;
  const gate: Gate = { open: false, waiting: [] };
  socket[LAST_WRITE] = gate;
  // Answered, failed or given up: those behind it must not wait for ever.
  response.once("close", () => {
    gate.open = true;
    for (const go of gate.waiting) go();
  });
}

/** Runs `work` at once, or when the writes sent before the request are answered. */
export function inTurn(request: IncomingMessage, work: () => void): void {
  const gate = (request as Queued)[BEHIND];
  if (gate === undefined || gate.open) work();
  else gate.waiting.push(work);
}
