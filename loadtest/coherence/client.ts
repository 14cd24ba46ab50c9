/** One connection that does one operation at a time, over whichever protocol, and says what it heard. */
import type { Answer, Operation } from "./model.ts";

/** `lost`: no answer, or one that leaves open whether it was carried out. */
export type Heard =
  | { readonly outcome: "answered"; readonly answer: Answer; readonly cas?: string }
  | { readonly outcome: "lost"; readonly why: string };

export type Request = {
  readonly key: string;
  readonly operation: Operation;
  /** The record to write, latin1; empty where nothing is written. */
  readonly body: string;
  /** 0 = never. */
  readonly ttlSeconds: number;
  /** What gets has shown, for cas. */
  readonly cas?: string;
};

export interface Client {
  readonly protocol: "http" | "tcp" | "udp";
  /** Kinds of operations it can say. */
  readonly says: ReadonlySet<Operation["kind"]>;
  ask(request: Request): Promise<Heard>;
  close(): void;
}

/** Longer than any deadline of the service: past it the answer is taken for lost. */
export const ANSWER_DEADLINE_MS = 5_000;
