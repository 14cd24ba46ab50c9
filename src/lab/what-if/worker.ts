/** The simulator's thread. It answers the newest question only: a slider asks faster than it can run. */
import { profile } from "../profiles.ts";
import { compute, type Question } from "./compute.ts";

type Asked = { readonly id: number; readonly question: Question; readonly profile: string };
const page = globalThis as unknown as { postMessage(message: unknown): void };
let newest: Asked | null = null;

addEventListener("message", (event: MessageEvent<Asked>) => {
  if (newest === null) setTimeout(answerNewest);
  newest = event.data;
});

function answerNewest(): void {
  if (newest === null) return;
  const { id, question, profile: name } = newest;
  newest = null;
  page.postMessage({ id, outcome: compute(question, profile(name), profile("userspace-only")) });
}
