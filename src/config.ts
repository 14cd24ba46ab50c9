/**
 * The one typed configuration. Layers in rising order: config/default.json, a file given with --config,
 * BMC_* environment variables, command-line flags. Every layer goes through this schema; an unknown key
 * is an error, and each error is one line naming the key, where it stood, what was given, what is allowed.
 */
import { z } from "zod";
import { ENGINES } from "./bpf/executable.ts";
import { COHERENCE_RULES } from "./tiers/cold/coherence.ts";
import { ADDRESS_FORMS, parseRedisAddress } from "./tiers/cold/redis-address.ts";
import { ADMISSION_RULES } from "./tiers/hot/admission.ts";
import { FILL_RACE } from "./tiers/hot/hot-tier.ts";
import { HOT_POLICIES } from "./tiers/hot/policy.ts";

const MAX_TIMEOUT_MS = 86_400_000;

/** `description` of each leaf is the "allowed" of its error message. */
const whole = (min: number, max: number) =>
  z.number().int().min(min).max(max).describe(`a whole number from ${min} to ${max}`);
const oneOf = <const T extends readonly [string, ...string[]]>(options: T) =>
  z.enum(options).describe(options.join(", "));
const text = (what: string) => z.string().min(1).describe(what);

const TCP_HOOKS = ["auto", "sk_skb", "segments", "none"] as const;
const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;

export const CONFIG_SCHEMA = z.strictObject({
  server: z.strictObject({
    host: text("an address or host name to bind"),
    port: whole(0, 65_535),
    /** An idle connection is closed after this; told to clients as `Keep-Alive: timeout`. */
    keepAliveTimeoutMs: whole(1, MAX_TIMEOUT_MS),
    /** A request whose head is not complete by then is answered 408; 0 = never. */
    headersTimeoutMs: whole(0, MAX_TIMEOUT_MS),
    requestTimeoutMs: whole(0, MAX_TIMEOUT_MS),
    /** How often the two above are looked at. */
    timeoutCheckMs: whole(10, MAX_TIMEOUT_MS),
    maxValueBytes: whole(1, 1 << 30),
    /** Of a request's head; more is answered 431. */
    maxHeaderBytes: whole(1_024, 1 << 20),
    /** Connections past it are closed at once. */
    maxConnections: whole(1, 1_000_000),
    /** In-flight requests get this long after SIGTERM. */
    shutdownDeadlineMs: whole(0, MAX_TIMEOUT_MS),
    /** Threads that serve, over one hot tier; more than 1 needs Node 22.12. */
    workers: whole(1, 64),
  }),
  offload: z.strictObject({
    mode: oneOf(["on", "off"]),
    engine: oneOf(ENGINES),
    /** An object file to serve with instead of the one shipped. */
    program: z.union([z.null(), text("a path")]).describe("null or a path to a .bpf.o file"),
    /** The rest of a split request is awaited this long at the hook. */
    splitTimeoutMs: whole(1, 60_000),
  }),
  hot: z.strictObject({
    entries: whole(1, 3_250_000),
    /** Who makes room for whom; the programs are built for it. */
    policy: oneOf(HOT_POLICIES),
    admission: oneOf(ADMISSION_RULES),
    admissionWindowMs: whole(1, MAX_TIMEOUT_MS),
    fillRace: oneOf(FILL_RACE),
  }),
  cold: z.strictObject({
    /** Null keeps items in this process; else Redis or Valkey, which many nodes may share. */
    url: z
      .union([z.null(), z.string().refine((url) => parseRedisAddress(url) !== null)])
      .describe(ADDRESS_FORMS),
    /** Authorities to trust with rediss://, besides those Node trusts. */
    caFile: z.union([z.null(), text("a path")]).describe("null or a path to a PEM file"),
    /** strict: reads are linearizable over all nodes (docs/redis.md says at what cost). */
    coherence: oneOf(COHERENCE_RULES),
    /** So long at most can a node that is lost keep the others from writing. */
    leaseMs: whole(100, 60_000),
    /** A call to it may take this long, waiting included. */
    deadlineMs: whole(1, 60_000),
    /** Operations under way, waiting at the hook, or begun in one turn of the event loop, before new ones are refused (503). */
    maxPending: whole(1, 1_000_000),
    /** Bytes of values in them. */
    maxPendingBytes: whole(1_024, 2 ** 40),
    maxBytes: whole(1_024, 2 ** 40),
    maxEntries: whole(1, 2 ** 24),
  }),
  costs: z.strictObject({
    profile: text("a profile's name, or a path ending in .json"),
    scale: z.number().min(0).max(1e6).describe("a number from 0 (off) to 1000000"),
  }),
  lab: z.strictObject({
    /** auto: only where the service listens on a loopback address. */
    mode: oneOf(["auto", "on", "off"]),
    /** May the page exchange the programs that serve? */
    write: z.boolean().describe("true or false"),
    /** What a program it attaches may take to verify. */
    verifyTimeMs: whole(1, 600_000),
  }),
  memcached: z.strictObject({
    /** One port for TCP and UDP; null = not served. */
    listen: z.union([z.null(), text("HOST:PORT")]).describe("null or HOST:PORT"),
    allowPublicUdp: z.boolean().describe("true or false"),
    maxConnections: whole(1, 1_000_000),
    /** 0 = a silent connection is kept. */
    idleTimeoutMs: whole(0, MAX_TIMEOUT_MS),
    /** Costs of this path: its hook is another one than HTTP's. */
    profile: text("a profile's name, or a path ending in .json"),
    /**
     * What sees TCP: the sk_skb pair at the socket, which answers too; the XDP and tc programs as segments, to
     * watch writes; or nothing. auto: the pair, unless programs of the user's own are to see segments.
     */
    tcpHook: oneOf(TCP_HOOKS),
    /** Costs of TCP where the sk_skb pair is attached. */
    tcpProfile: text("a profile's name, or a path ending in .json"),
    /** Programs to attach instead of the ones shipped, FILE.o or FILE.o:PROGRAM. */
    xdp: z.union([z.null(), text("a path")]).describe("null or FILE.o[:PROGRAM]"),
    tc: z.union([z.null(), text("a path")]).describe("null or FILE.o[:PROGRAM]"),
    /** Slots of program arrays, MAP[INDEX]=PROGRAM, beyond what the object itself fills in. */
    tailCalls: z.array(z.string()).describe("a list of MAP[INDEX]=PROGRAM"),
  }),
  log: z.strictObject({ level: oneOf(LOG_LEVELS) }),
});

export type Config = z.infer<typeof CONFIG_SCHEMA>;

/** A user's mistake: one line, exit 2. */
export class ConfigError extends Error {
  readonly exitCode = 2;
}

type Json = { [key: string]: unknown };
/** One source of settings: `name` says where, `values` nests as the schema does. */
export type Layer = { readonly name: string; readonly values: unknown };

/** @throws ConfigError naming the first thing wrong. */
export function resolveConfig(layers: readonly Layer[]): Config {
  const merged: Json = {};
  const origin = new Map<string, string>();
  for (const { name, values } of layers) {
    if (!isObject(values)) throw new ConfigError(`config: ${name} is ${show(values)}; allowed: an object`);
    mergeInto(merged, values, name, [], origin);
  }
  const parsed = CONFIG_SCHEMA.safeParse(merged);
  if (parsed.success) return parsed.data;
  throw new ConfigError(`config: ${explain(parsed.error.issues[0]!, merged, origin)}`);
}

/**
 * Settings from BMC_* variables: `server.port` is BMC_SERVER_PORT, `costs.scale` BMC_COSTS_SCALE. A variable that
 * begins with a known section but names no key is an error; others beginning with BMC_ are not ours.
 */
export function environmentLayer(env: Readonly<Record<string, string | undefined>>): Layer {
  const values: Json = {};
  for (const [name, given] of Object.entries(env)) {
    if (given === undefined || !name.startsWith("BMC_")) continue;
    const section = SECTIONS.find((s) => name.startsWith(`BMC_${snake(s)}_`));
    if (section === undefined) continue;
    const keys = Object.keys(sectionShape(section));
    const key = keys.find((k) => name === `BMC_${snake(section)}_${snake(k)}`);
    if (key === undefined) {
      const allowed = keys.map((k) => `BMC_${snake(section)}_${snake(k)}`).join(", ");
      throw new ConfigError(`config: unknown environment variable ${name}; allowed: ${allowed}`);
    }
    setPath(values, [section, key], fromText(section, key, given));
  }
  return { name: "the environment", values };
}

/** A setting given as text, as its schema wants it: numbers, true and false are read, lists cut at commas. */
export function fromText(section: string, key: string, given: string): unknown {
  const leaf = sectionShape(section)[key];
  if (leaf instanceof z.ZodNumber) {
    return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(given) ? Number(given) : given;
  }
  if (leaf instanceof z.ZodBoolean) return given === "true" ? true : given === "false" ? false : given;
  if (leaf instanceof z.ZodArray) return given === "" ? [] : given.split(",");
  return leaf instanceof z.ZodUnion && given === "null" ? null : given;
}

export function setPath(into: Json, [section, key]: readonly [string, string], value: unknown): void {
  const old = into[section];
  into[section] = { ...(isObject(old) ? old : {}), [key]: value };
}

const SECTIONS = Object.keys(CONFIG_SCHEMA.shape);

function sectionShape(section: string): Readonly<Record<string, z.ZodType>> {
  const shape = CONFIG_SCHEMA.shape[section as keyof typeof CONFIG_SCHEMA.shape];
  return shape.shape as Readonly<Record<string, z.ZodType>>;
}

function mergeInto(into: Json, from: Json, name: string, path: string[], origin: Map<string, string>): void {
  for (const [key, value] of Object.entries(from)) {
    const at = [...path, key];
    origin.set(at.join("."), name);
    if (isObject(value) && isObject(into[key])) mergeInto(into[key], value, name, at, origin);
    else into[key] = isObject(value) ? copyOf(value, name, at, origin) : value;
  }
}

function copyOf(value: Json, name: string, path: string[], origin: Map<string, string>): Json {
  const copy: Json = {};
  mergeInto(copy, value, name, path, origin);
  return copy;
}

function explain(issue: z.core.$ZodIssue, merged: Json, origin: ReadonlyMap<string, string>): string {
  const path = issue.path.map(String);
  if (issue.code === "unrecognized_keys") {
    const key = [...path, issue.keys[0]!].join(".");
    const section = path[0];
    const allowed = (section === undefined ? SECTIONS : Object.keys(sectionShape(section))).join(", ");
    return `unknown key ${key} in ${origin.get(key)}; allowed: ${allowed}`;
  }
  const key = path.join(".");
  const [section, leaf] = path;
  const schema = section === undefined || leaf === undefined ? undefined : sectionShape(section)[leaf];
  const allowed = schema?.description ?? "an object";
  const given = path.reduce<unknown>((value, part) => (isObject(value) ? value[part] : undefined), merged);
  const where = origin.get(key);
  return `${key}${where === undefined ? "" : ` in ${where}`} is ${show(given)}; allowed: ${allowed}`;
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function show(value: unknown): string {
  return value === undefined ? "missing" : (JSON.stringify(value) ?? String(value));
}

/** `keepAliveTimeoutMs` to KEEP_ALIVE_TIMEOUT_MS. */
function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}
