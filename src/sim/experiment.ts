/**
 * What an experiment is: a file of parameters and published numbers (config/experiments/), a kind that
 * knows how to run it, and the report that comes out. A run is a generator that yields its progress, so
 * that the caller may draw it, and may stop it: a stopped run reports what it has.
 */
import type { Profile } from "../costs/profile.ts";
import type { TraceRequest } from "./traces.ts";

export type ParamValue = number | string | readonly number[];
export type ParamSpec = {
  readonly about: string;
  /** Bounds of a number, or of each number of a list. */
  readonly min?: number;
  readonly max?: number;
  readonly integer?: true;
  /** A text must be one of these; "profile" means the name of a cost profile. */
  readonly options?: readonly string[] | "profile";
  readonly list?: true;
};
export type Params = Readonly<Record<string, ParamValue>>;

/** fit: a parameter was set so as to meet it. predict: held against the model. show: for the reader. */
export type Use = "fit" | "predict" | "show";
export type Published = {
  readonly label: string;
  readonly value: number;
  readonly unit: string;
  readonly source: string;
  readonly use: Use;
};
export type Fitted = { readonly parameter: string; readonly on: string };

export type Experiment = {
  readonly name: string;
  readonly title: string;
  readonly kind: string;
  readonly summary: string;
  readonly source: string;
  /** Simulated requests for each point of the experiment. */
  readonly requests: number;
  readonly seed: number;
  readonly params: Params;
  readonly presets: Readonly<Record<string, Params>>;
  readonly fitted: readonly Fitted[];
  readonly published: Readonly<Record<string, Published>>;
  readonly notes: readonly string[];
};

export type Kind = {
  readonly params: Readonly<Record<string, ParamSpec>>;
  readonly run: (lab: Lab) => Generator<Progress, void>;
};

export type Progress = { readonly label: string; readonly done: number; readonly total: number };

export type Cell = string | number;
export type Table = {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
};
export type Comparison = Published & { readonly id: string; readonly ours: number; readonly error: number };
export type Series = {
  readonly name: string;
  readonly points: readonly (readonly [number, number])[];
  /** Lines for the model, hollow points for published figures, filled points for simulated ones. */
  readonly style: "line" | "points" | "published" | "dashed";
};
export type Plot = {
  readonly name: string;
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly xLog?: boolean;
  readonly yLog?: boolean;
  readonly series: readonly Series[];
};
export type Report = {
  readonly experiment: string;
  readonly title: string;
  readonly source: string;
  readonly seed: number;
  readonly requestsPerPoint: number;
  readonly params: Params;
  readonly complete: boolean;
  readonly fitted: readonly Fitted[];
  readonly comparisons: readonly Comparison[];
  readonly tables: readonly Table[];
  readonly notes: readonly string[];
  readonly plots: readonly Plot[];
};

/** Where a running experiment finds its inputs and leaves its results. */
export class Lab {
  readonly experiment: Experiment;
  readonly params: Params;
  readonly seed: number;
  readonly requests: number;
  readonly profile: (name: string) => Profile;
  /** Opens the trace to replay, once; absent when none was given. */
  readonly trace: (() => Iterable<TraceRequest>) | undefined;
  /** Set from outside: the run ends at its next step. */
  stopped = false;
  readonly #comparisons: Comparison[] = [];
  readonly #tables: Table[] = [];
  readonly #plots: Plot[] = [];
  readonly #notes: string[] = [];

  constructor(
    experiment: Experiment,
    options: {
      params: Params;
      seed: number;
      requests: number;
      profile: (name: string) => Profile;
      trace?: () => Iterable<TraceRequest>;
    },
  ) {
    this.experiment = experiment;
    this.params = options.params;
    this.seed = options.seed;
    this.requests = options.requests;
    this.profile = options.profile;
    this.trace = options.trace;
  }

  number(key: string): number {
    const value = this.params[key];
    if (typeof value !== "number") throw new TypeError(`parameter ${key} is not a number`);
    return value;
  }
  numbers(key: string): readonly number[] {
    const value = this.params[key];
    if (!Array.isArray(value)) throw new TypeError(`parameter ${key} is not a list`);
    return value;
  }
  text(key: string): string {
    const value = this.params[key];
    if (typeof value !== "string") throw new TypeError(`parameter ${key} is not a text`);
    return value;
  }
  published(id: string): number {
    const row = this.experiment.published[id];
    if (!row) throw new TypeError(`${this.experiment.name} publishes no ${id}`);
    return row.value;
  }

  /** Holds our figure against the published one of this id; silent where the file has none. */
  compare(id: string, ours: number): void {
    const row = this.experiment.published[id];
    if (row) this.#comparisons.push({ ...row, id, ours, error: ours / row.value - 1 });
  }
  table(title: string, columns: readonly string[], rows: readonly (readonly Cell[])[]): void {
    this.#tables.push({ title, columns, rows });
  }
  plot(plot: Plot): void {
    this.#plots.push(plot);
  }
  note(text: string): void {
    this.#notes.push(text);
  }

  report(complete: boolean): Report {
    const { name, title, source, fitted, notes } = this.experiment;
    return {
      experiment: name,
      title,
      source,
      seed: this.seed,
      requestsPerPoint: this.requests,
      params: this.params,
      complete,
      fitted,
      comparisons: this.#comparisons,
      tables: this.#tables,
      notes: [...notes, ...this.#notes],
      plots: this.#plots,
    };
  }
}
