/** The thread the verifier and the interpreter run in, so that a long walk never freezes the page. */
import { answer } from "./answer.ts";
import type { Request } from "./protocol.ts";

// The page's own globals are in scope by its tsconfig; a worker posts to its page without a target origin.
const page = globalThis as unknown as { postMessage(message: unknown): void };

addEventListener("message", (event: MessageEvent<{ id: number; request: Request }>) => {
  const { id, request } = event.data;
  page.postMessage({ id, reply: answer(request) });
});
