/** The thread a published experiment is simulated on: seconds, while the sliders stay alive. */
import { type PublishedName, runPublished } from "./published.ts";

const page = globalThis as unknown as { postMessage(message: unknown): void };

addEventListener("message", (event: MessageEvent<PublishedName>) => {
  page.postMessage(runPublished(event.data));
});
