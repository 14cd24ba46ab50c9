/** The lab's view of a running service: what it shows and what it may turn. */
import type {
  AttachPlace,
  LabBackend,
  LoadSettings,
  Settings,
  Snapshot,
  Upload,
} from "../http/lab/backend.ts";
import { Unfulfillable } from "../http/lab/backend.ts";
import type { HotCounters } from "../metrics/hot-counters.ts";
import type { SampledRequest } from "../metrics/request-sampler.ts";
import type { MaybePromise } from "../tiers/cold/store.ts";
import { CROSSINGS } from "../tiers/crossing.ts";
import { configNames, loadProfile } from "./config-files.ts";
import { LabLoad } from "./lab-load.ts";
import type { LabPrograms } from "./lab-programs.ts";
import type { Service } from "./service.ts";

export class ServiceLab implements LabBackend {
  readonly profiles = configNames("profiles");
  readonly #service: Service;
  readonly #counters: HotCounters | null;
  readonly #load: LabLoad;
  readonly #programs: LabPrograms;

  constructor(service: Service, counters: HotCounters | null, programs: LabPrograms) {
    this.#service = service;
    this.#counters = counters;
    this.#programs = programs;
    this.#load = new LabLoad(() => service.address());
  }

  get canWrite(): boolean {
    return this.#service.config.lab.write;
  }

  get places(): readonly AttachPlace[] {
    return this.#programs.places;
  }

  snapshot(): Snapshot {
    const { stats, cache, hook, meter } = this.#service;
    const { hot } = cache;
    const cold = cache.stats();
    const hits = this.#counters?.hits() ?? 0;
    const attached = hook?.attached ?? false;
    return {
      atMs: performance.now(),
      offload: attached ? "on" : "off",
      profile: meter.profile.name,
      costsScale: meter.injector.scale,
      answered: { hot: hits, cold: cache.coldHits },
      notFound: cache.coldMisses,
      writes: stats.writes,
      observed: { hot: [...stats.observed.hot.buckets], cold: [...stats.observed.cold.buckets] },
      modelled: { hot: [...stats.modelled.hot.buckets], cold: [...stats.modelled.cold.buckets] },
      programs: this.#programs.serving(),
      crossings: Object.fromEntries(CROSSINGS.map(({ name }, index) => [name, stats.crossings[index] ?? 0])),
      verdicts: this.#counters?.verdicts() ?? {},
      hot: {
        entries: hot?.entries ?? 0,
        live: this.#counters?.entries() ?? 0,
        bytes: hot?.memoryBytes ?? 0,
        fills: hot?.fills ?? 0,
        invalidations: hot?.invalidations ?? 0,
        collisions: hot?.collisions ?? 0,
      },
      cold: { items: cold.items, bytes: cold.bytes },
      load: {
        running: this.#load.running,
        settings: this.#load.settings,
        achievedPerSecond: this.#load.achievedPerSecond,
      },
    };
  }

  samples(): readonly SampledRequest[] {
    return this.#service.sampler.look();
  }

  change({ offload, profile, costsScale }: Settings): void {
    const { hook, meter } = this.#service;
    // Looked up first, so that a wish with one impossible part changes nothing.
    const next = profile === undefined ? null : this.#profile(profile);
    if (offload !== undefined && hook === null) {
      throw new Unfulfillable("the service was started with --offload off: it has no program to attach");
    }
    if (offload === "on" && hook !== null && hook.programs.fault !== null) {
      throw new Unfulfillable("the program failed at run time and stays detached");
    }
    if (next !== null) meter.profile = next;
    if (costsScale !== undefined) meter.injector.scale = costsScale;
    if (offload === undefined || hook === null || hook.attached === (offload === "on")) return;
    if (offload === "on") hook.resume();
    else hook.detach();
    this.#load.reconnect();
  }

  startLoad(settings: LoadSettings): void {
    this.#load.start(settings);
  }

  stopLoad(): void {
    this.#load.stop();
  }

  clear(): MaybePromise<void> {
    return this.#service.cache.clear();
  }

  async attach(upload: Upload): Promise<void> {
    await this.#programs.attach(upload);
    this.#load.reconnect();
  }

  detach(place: AttachPlace): void {
    this.#programs.detach(place);
    this.#load.reconnect();
  }

  restore(place: AttachPlace): void {
    this.#programs.restore(place);
    this.#load.reconnect();
  }

  #profile(name: string) {
    if (this.profiles.includes(name)) return loadProfile(name);
    throw new Unfulfillable(`no profile '${name}'; there are ${this.profiles.join(", ")}`);
  }
}
