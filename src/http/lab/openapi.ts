/** The lab's endpoints in the OpenAPI document, and the routes they are. */
import { ATTACH_PLACES, LOAD_LIMITS, MAX_UPLOAD_BYTES } from "./backend.ts";

const number = { type: "number", minimum: 0 };
const integer = (maximum: number) => ({ type: "integer", minimum: 1, maximum });
const text = { type: "string" };
const object = (properties: object, required = Object.keys(properties)) => ({
  type: "object",
  required,
  properties,
});
const counts = { type: "object", additionalProperties: number };
const perTier = (schema: object) => object({ hot: schema, cold: schema });
const buckets = { type: "array", items: number, description: "Bucket i: (2^(i-1), 2^i] nanoseconds." };
const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });

export const LAB_SCHEMAS = {
  LabLoad: object({
    keys: integer(LOAD_LIMITS.maxKeys),
    skew: { ...number, maximum: 5, description: "Zipf exponent; 0 is uniform." },
    valueBytes: integer(LOAD_LIMITS.maxValueBytes),
    writeShare: { ...number, maximum: 1 },
    ratePerSecond: integer(LOAD_LIMITS.maxRatePerSecond),
    seconds: integer(LOAD_LIMITS.maxSeconds),
  }),
  LabSettings: object({ offload: { enum: ["on", "off"] }, profile: text, costsScale: number }, []),
  LabSession: object({
    token: text,
    whyNotAttach: { type: ["string", "null"], description: "Null: programs may be attached from here." },
    places: { type: "array", items: { enum: ATTACH_PLACES } },
    profiles: { type: "array", items: text },
    limits: counts,
  }),
  LabSnapshot: object({
    atMs: number,
    offload: { enum: ["on", "off"] },
    profile: text,
    costsScale: number,
    answered: perTier(number),
    notFound: number,
    writes: number,
    observed: perTier(buckets),
    modelled: perTier(buckets),
    programs: { type: "array", items: ref("LabProgram") },
    crossings: counts,
    verdicts: { type: "object", additionalProperties: counts },
    hot: counts,
    cold: counts,
    load: object({ running: { type: "boolean" }, settings: ref("LabLoad"), achievedPerSecond: number }),
  }),
  LabPlace: object({ place: { enum: ATTACH_PLACES } }),
  LabProgram: object({
    place: { enum: ATTACH_PLACES },
    at: text,
    name: text,
    from: { enum: ["start", "lab"] },
    attached: { type: "boolean" },
    instructions: number,
    runs: number,
    fault: { type: ["string", "null"] },
  }),
  LabRequest: object({
    id: number,
    atMs: number,
    method: text,
    key: text,
    status: number,
    tier: { enum: ["hot", "cold"] },
    crossed: { type: ["string", "null"] },
    observedNs: number,
    modelledNs: number,
    ledger: { type: "array", items: { type: "object" } },
  }),
};

const problem = (description: string) => ({
  description,
  content: { "application/json": { schema: ref("Problem") } },
});
const REFUSED = problem("Not from this service's own page.");

const get = (operationId: string, summary: string, type: string, schema: object) => ({
  get: {
    operationId,
    summary,
    responses: { 200: { description: summary, content: { [type]: { schema } } }, 403: REFUSED },
  },
});
const TOKEN = {
  name: "x-bmc-token",
  in: "header",
  required: true,
  schema: text,
  description: "From the session.",
};
const RESPONSES = {
  204: { description: "Done." },
  400: problem("The body is not what this endpoint takes."),
  403: REFUSED,
  409: problem("The service cannot do that now."),
};
const post = (operationId: string, summary: string, schema: object) => ({
  post: {
    operationId,
    summary,
    parameters: [TOKEN],
    requestBody: { required: true, content: { "application/json": { schema } } },
    responses: RESPONSES,
  },
});
/** Only with --lab-write, and only from loopback. */
const WRITE_ONLY = problem("Not this service's own page on this machine, or started without --lab-write.");
const exchange = (operationId: string, summary: string) => {
  const { post: operation } = post(operationId, summary, ref("LabPlace"));
  return { post: { ...operation, responses: { ...RESPONSES, 403: WRITE_ONLY } } };
};
const upload = { type: "string", maxLength: MAX_UPLOAD_BYTES };

export const LAB_PATHS = {
  "/api/lab/session": get(
    "labSession",
    "The page's token, and what the service lets it do.",
    "application/json",
    ref("LabSession"),
  ),
  "/api/lab/events": get(
    "labEvents",
    "A snapshot of all counters twice a second, as server-sent events.",
    "text/event-stream",
    ref("LabSnapshot"),
  ),
  "/api/lab/requests": get(
    "labRequests",
    "A few of the last requests with their ledgers.",
    "application/json",
    {
      type: "array",
      items: ref("LabRequest"),
    },
  ),
  "/api/lab/settings": post("labSettings", "Offload on or off, profile, dilation.", ref("LabSettings")),
  "/api/lab/load": post("labLoad", "Start the bounded built-in load on this service.", ref("LabLoad")),
  "/api/lab/load/stop": post("labLoadStop", "Stop it.", object({})),
  "/api/lab/attach": {
    post: {
      operationId: "labAttach",
      summary: "Verify a program, on a thread of its own and within a time limit, and let it serve.",
      parameters: [
        TOKEN,
        {
          name: "program",
          in: "query",
          schema: text,
          description: "Of an object file: which program. The other half of an sk_skb pair comes along.",
        },
      ],
      requestBody: {
        required: true,
        content: {
          "text/plain": { schema: { ...upload, description: "Assembly: one program." } },
          "application/octet-stream": {
            schema: { ...upload, format: "binary", description: "A .bpf.o file." },
          },
        },
      },
      responses: {
        ...RESPONSES,
        403: WRITE_ONLY,
        409: problem(
          "Refused: what the verifier says, or that it took too long, or that there is no such hook.",
        ),
        413: problem("The program is too large."),
      },
    },
  },
  "/api/lab/detach": exchange("labDetach", "Let no program serve at a hook."),
  "/api/lab/restore": exchange("labRestore", "Let the programs serve that the service started with."),
  "/api/lab/clear": post("labClear", "Empty both tiers.", object({})),
};

export const LAB_ROUTES: readonly (readonly [string, readonly string[]])[] = Object.entries(LAB_PATHS).map(
  ([path, methods]) => [path, Object.keys(methods).map((method) => method.toUpperCase())],
);
