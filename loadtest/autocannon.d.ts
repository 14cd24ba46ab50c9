/** The part of autocannon these load tests use (its package carries no types). */
declare module "autocannon" {
  import type { EventEmitter } from "node:events";

  export interface Client extends EventEmitter {
    setRequests(requests: readonly RequestSpec[]): void;
    on(event: "headers", listener: (head: { statusCode: number; headers: string[] }) => void): this;
    on(event: "response", listener: (status: number, bytes: number, ms: number) => void): this;
  }
  export type RequestSpec = { method?: string; path: string; body?: string | Buffer };
  export type Options = {
    url: string;
    connections: number;
    pipelining?: number;
    duration?: number;
    amount?: number;
    overallRate?: number;
    timeout?: number;
    requests?: readonly RequestSpec[];
    setupClient?: (client: Client) => void;
  };
  export type Result = {
    errors: number;
    timeouts: number;
    mismatches: number;
    non2xx: number;
    duration: number;
    requests: { total: number; sent: number; average: number };
    statusCodeStats?: Record<string, { count: number }>;
  };
  interface Instance extends EventEmitter, PromiseLike<Result> {
    stop(): void;
  }
  function autocannon(options: Options): Instance;
  export default autocannon;
}
