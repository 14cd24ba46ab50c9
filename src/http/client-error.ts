/**
 * The last answer on a connection whose bytes are not HTTP, or did not come in time. Nothing knows of the
 * request, so it is written to the socket, and the connection is over.
 */
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { type Problem, problem } from "./problem.ts";
import { rawAnswer } from "./raw-answer.ts";

type ClientError = Error & { readonly code?: string; readonly reason?: string };

/** What is wrong, by Node's error code; any other is a parser's complaint. */
const PROBLEMS: Readonly<Record<string, (maxHeaderBytes: number) => Problem>> = {
  ERR_HTTP_REQUEST_TIMEOUT: () => problem(408, "the request did not arrive in time"),
  HPE_HEADER_OVERFLOW: (bytes) => problem(431, `the head is too large; allowed: ${bytes} bytes`),
  HPE_CHUNK_EXTENSIONS_OVERFLOW: () => problem(413, "the chunk extensions are too large"),
};

function problemOf(error: ClientError, maxHeaderBytes: number): Problem {
  const known = PROBLEMS[error.code ?? ""];
  return known
    ? known(maxHeaderBytes)
    : problem(400, `not an HTTP/1.1 request: ${error.reason ?? error.message}`);
}

/**
 * Has the connection's last answer been given already? It said `Connection: close`, and nothing may follow
 * it (RFC 9112 §9.6). Node goes by whether its end has been flushed, which depends on how the bytes arrived.
 */
function isOver(socket: Socket): boolean {
  const response = (socket as { _httpMessage?: (ServerResponse & { _last?: boolean }) | null })._httpMessage;
  return response?._last === true && response.writableEnded;
}

export function answerClientError(error: ClientError, socket: Socket, maxHeaderBytes: number): void {
  if (error.code === "ECONNRESET" || socket.destroyed) return;
  if (socket.writable && !isOver(socket)) {
    socket.write(rawAnswer(problemOf(error, maxHeaderBytes), ["Connection: close"]));
  }
  socket.destroy(error);
}
