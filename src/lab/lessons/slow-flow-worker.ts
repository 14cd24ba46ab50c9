/** The simulation of lesson 5 in its own thread. */
import { slowFlow } from "./slow-flow.ts";

const page = globalThis as unknown as { postMessage(message: unknown): void };

addEventListener("message", (event: MessageEvent<number>) => page.postMessage(slowFlow(event.data)));
