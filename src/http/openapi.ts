/** The service as an OpenAPI 3.1 document, and the routes it names with the methods they take. */
import { HOT_VALUE_MAX } from "../tiers/hot/layout.ts";
import { LAB_PATHS, LAB_ROUTES, LAB_SCHEMAS } from "./lab/openapi.ts";
import { MAX_KEY_BYTES } from "./target.ts";

const PROBLEM = {
  type: "object",
  required: ["statusCode", "error", "message"],
  properties: {
    statusCode: { type: "integer" },
    error: { type: "string" },
    message: { type: "string" },
  },
};
const problemBody = { "application/json": { schema: { $ref: "#/components/schemas/Problem" } } };
const bytesBody = { "application/octet-stream": { schema: { type: "string", format: "binary" } } };
const cacheStatus = { "Cache-Status": { $ref: "#/components/headers/CacheStatus" } };
const tierHeaders = { ...cacheStatus, "Server-Timing": { $ref: "#/components/headers/ServerTiming" } };

const empty = (description: string, headers: object = tierHeaders) => ({ description, headers });
const fault = (description: string, headers: object = cacheStatus) => ({
  description,
  headers,
  content: problemBody,
});
const badKey = fault("The key is not 1 to 250 bytes without spaces and control bytes, or the ttl is wrong.");
const unavailable = fault("The cold tier cannot answer now.", {
  ...cacheStatus,
  "Retry-After": { schema: { type: "integer" }, description: "Seconds to wait." },
});

export const OPENAPI = {
  openapi: "3.1.0",
  info: {
    title: "bmc-emulator",
    version: "0.1.0",
    summary: "A key-value server whose hot tier is an eBPF program at a hook.",
    license: { name: "MIT", identifier: "MIT" },
  },
  paths: {
    "/kv/{key}": {
      parameters: [
        {
          name: "key",
          in: "path",
          required: true,
          description: `1 to ${MAX_KEY_BYTES} bytes once percent-decoded; no spaces, no control bytes.`,
          schema: { type: "string", minLength: 1 },
        },
      ],
      get: {
        operationId: "getValue",
        summary: `Read a value. Values up to ${HOT_VALUE_MAX} bytes can be answered by the hot tier.`,
        responses: {
          200: { description: "The value.", headers: tierHeaders, content: bytesBody },
          400: badKey,
          404: fault("No such key.", tierHeaders),
          503: unavailable,
        },
      },
      head: {
        operationId: "headValue",
        summary: "As GET, without the value.",
        responses: {
          200: empty("The value is there."),
          400: empty("Bad key."),
          404: empty("No such key."),
          503: empty("The cold tier cannot answer now."),
        },
      },
      put: {
        operationId: "putValue",
        summary: "Store a value, bytes as they are.",
        parameters: [
          {
            name: "ttl",
            in: "query",
            description: "Seconds to live, above 0; milliseconds as decimals.",
            schema: { type: "number", exclusiveMinimum: 0 },
          },
        ],
        requestBody: { content: { "*/*": { schema: { type: "string", format: "binary" } } } },
        responses: {
          201: empty("Stored; the key is new."),
          204: empty("Stored in place of another value."),
          400: badKey,
          413: fault("The value is over 1 MiB."),
          503: unavailable,
        },
      },
      delete: {
        operationId: "deleteValue",
        summary: "Delete a value.",
        responses: {
          204: empty("Deleted."),
          400: badKey,
          404: fault("No such key.", tierHeaders),
          503: unavailable,
        },
      },
    },
    "/healthz": service("isHealthy", "Whether the process answers at all.", "application/json"),
    "/readyz": {
      get: {
        operationId: "isReady",
        summary: "Whether the service can take traffic.",
        responses: { 200: { description: "Ready." }, 503: fault("Not ready, and why.", {}) },
      },
    },
    "/metrics": service("scrape", "Prometheus metrics.", "text/plain"),
    ...LAB_PATHS,
    "/openapi.json": service("describe", "This document.", "application/json"),
  },
  components: {
    schemas: { Problem: PROBLEM, ...LAB_SCHEMAS },
    headers: {
      CacheStatus: {
        description: "RFC 9211: which tier hit and, from the cold path, why the request crossed (detail).",
        schema: { type: "string" },
      },
      ServerTiming: {
        description: "From the cold path: modelled milliseconds by stage.",
        schema: { type: "string" },
      },
    },
  },
} as const;

/** Path as the router sees it to the methods it takes. */
export const ROUTES: ReadonlyMap<string, readonly string[]> = new Map<string, readonly string[]>([
  ["/kv", ["GET", "HEAD", "PUT", "DELETE"]],
  ...LAB_ROUTES,
  ...["/healthz", "/readyz", "/metrics", "/openapi.json"].map((path) => [path, ["GET", "HEAD"]] as const),
]);

function service(operationId: string, summary: string, type: string) {
  return {
    get: {
      operationId,
      summary,
      responses: { 200: { description: summary, content: { [type]: { schema: { type: "string" } } } } },
    },
  };
}
