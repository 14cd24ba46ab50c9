/**
 * Reads experiment files. Everything is checked here, unknown keys included, so that a run starts from a
 * workload that can exist; each mistake is one line with the key, what was given and what is allowed.
 */
import type { Experiment, Fitted, ParamSpec, Params, ParamValue, Published, Use } from "./experiment.ts";
import { KINDS } from "./experiments/kinds.ts";
import { SimError } from "./sim-error.ts";

type Json = Readonly<Record<string, unknown>>;

const KEYS = [
  "title",
  "kind",
  "summary",
  "source",
  "requests",
  "seed",
  "params",
  "presets",
  "fitted",
  "published",
  "notes",
];
const PUBLISHED_KEYS = ["label", "value", "unit", "source", "use"];
const USES: readonly Use[] = ["fit", "predict", "show"];

/** @throws SimError */
export function parseExperiment(json: unknown, name: string, profiles: readonly string[]): Experiment {
  const at = (key: string) => `experiment '${name}': ${key}`;
  const top = object(at("file"), json);
  unknown(`experiment '${name}'`, top, KEYS);
  const kindName = text(at("kind"), top.kind);
  const kind = Object.hasOwn(KINDS, kindName) ? KINDS[kindName] : undefined;
  if (!kind) throw bad(at("kind"), kindName, Object.keys(KINDS).join(", "));

  const params = checkParams(at("params"), kind.params, object(at("params"), top.params), profiles);
  for (const key of Object.keys(kind.params)) {
    if (!Object.hasOwn(params, key)) throw bad(at(`params.${key}`), undefined, kind.params[key]?.about ?? "");
  }
  const presets: Record<string, Params> = {};
  for (const [preset, given] of Object.entries(object(at("presets"), top.presets ?? {}))) {
    const key = at(`presets.${preset}`);
    presets[preset] = checkParams(key, kind.params, object(key, given), profiles);
  }
  const published: Record<string, Published> = {};
  for (const [id, given] of Object.entries(object(at("published"), top.published ?? {}))) {
    const key = at(`published.${id}`);
    const row = object(key, given);
    unknown(key, row, PUBLISHED_KEYS);
    if (!USES.includes(row.use as Use)) throw bad(`${key}.use`, row.use, USES.join(", "));
    published[id] = {
      label: text(`${key}.label`, row.label),
      value: number(`${key}.value`, row.value, {}),
      unit: text(`${key}.unit`, row.unit),
      source: text(`${key}.source`, row.source),
      use: row.use as Use,
    };
  }
  const fitted = list(at("fitted"), top.fitted ?? []).map((given, i): Fitted => {
    const key = at(`fitted[${i}]`);
    const row = object(key, given);
    unknown(key, row, ["parameter", "on"]);
    const parameter = text(`${key}.parameter`, row.parameter);
    if (!Object.hasOwn(kind.params, parameter)) {
      throw bad(`${key}.parameter`, parameter, Object.keys(kind.params).join(", "));
    }
    return { parameter, on: text(`${key}.on`, row.on) };
  });
  return {
    name,
    kind: kindName,
    title: text(at("title"), top.title),
    summary: text(at("summary"), top.summary),
    source: text(at("source"), top.source),
    requests: number(at("requests"), top.requests, { min: 1, integer: true }),
    seed: number(at("seed"), top.seed, { min: 0, integer: true }),
    params,
    presets,
    fitted,
    published,
    notes: list(at("notes"), top.notes ?? []).map((note, i) => text(at(`notes[${i}]`), note)),
  };
}

/** The parameters of a run: the file's, a preset's over them, `--set key=value` over both. */
export function chooseParams(
  experiment: Experiment,
  preset: string | undefined,
  sets: readonly string[],
  profiles: readonly string[],
): Params {
  const specs = KINDS[experiment.kind]?.params ?? {};
  let params = experiment.params;
  if (preset !== undefined) {
    if (!Object.hasOwn(experiment.presets, preset)) {
      const known = Object.keys(experiment.presets).join(", ") || "none in this experiment";
      throw new SimError(`unknown preset '${preset}'; known: ${known}`);
    }
    params = { ...params, ...experiment.presets[preset] };
  }
  for (const set of sets) {
    const split = set.indexOf("=");
    if (split < 1) throw new SimError(`--set '${set}' is not key=value`);
    const key = set.slice(0, split);
    const raw = set.slice(split + 1);
    const spec = Object.hasOwn(specs, key) ? specs[key] : undefined;
    if (!spec) throw new SimError(`--set ${key}: unknown parameter; known: ${Object.keys(specs).join(", ")}`);
    const value = spec.options ? raw : spec.list ? raw.split(",").map(Number) : Number(raw);
    params = {
      ...params,
      ...checkParams("--set", specs, { [key]: raw === "" ? undefined : value }, profiles),
    };
  }
  return params;
}

function checkParams(
  at: string,
  specs: Readonly<Record<string, ParamSpec>>,
  given: Json,
  profiles: readonly string[],
): Params {
  unknown(at, given, Object.keys(specs));
  const params: Record<string, ParamValue> = {};
  for (const [key, value] of Object.entries(given)) {
    params[key] = checkParam(`${at}.${key}`, specs[key] as ParamSpec, value, profiles);
  }
  return params;
}

function checkParam(at: string, spec: ParamSpec, value: unknown, profiles: readonly string[]): ParamValue {
  if (spec.options) {
    const options = spec.options === "profile" ? profiles : spec.options;
    if (typeof value !== "string" || !options.includes(value)) throw bad(at, value, options.join(", "));
    return value;
  }
  if (!spec.list) return number(at, value, spec);
  const values = list(at, value);
  if (values.length === 0) throw bad(at, value, "a list with at least one number");
  return values.map((v, i) => number(`${at}[${i}]`, v, spec));
}

function number(at: string, value: unknown, spec: Pick<ParamSpec, "min" | "max" | "integer">): number {
  const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY, integer } = spec;
  const fits = typeof value === "number" && Number.isFinite(value) && value >= min && value <= max;
  if (fits && (!integer || Number.isInteger(value))) return value;
  const kind = integer ? "a whole number" : "a number";
  const range =
    max === Number.POSITIVE_INFINITY
      ? min === Number.NEGATIVE_INFINITY
        ? kind
        : `${kind} >= ${min}`
      : `${kind} from ${min} to ${max}`;
  throw bad(at, value, range);
}

function text(at: string, value: unknown): string {
  if (typeof value !== "string" || value === "") throw bad(at, value, "a non-empty text");
  return value;
}

function list(at: string, value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw bad(at, value, "a list");
  return value;
}

function object(at: string, value: unknown): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw bad(at, value, "an object");
  return value as Json;
}

function unknown(at: string, given: Json, known: readonly string[]): void {
  for (const key of Object.keys(given)) {
    if (!known.includes(key)) throw new SimError(`${at}: unknown key '${key}'; allowed: ${known.join(", ")}`);
  }
}

function bad(at: string, given: unknown, allowed: string): SimError {
  const shown =
    given === undefined ? "missing" : typeof given === "number" ? String(given) : JSON.stringify(given);
  return new SimError(`${at} is ${shown}; allowed: ${allowed}`);
}
