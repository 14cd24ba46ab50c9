/**
 * Programs that serve, as the lab may exchange them (`--lab-write`): an sk_skb pair before the HTTP server,
 * XDP and tc programs around memcached. What the service started with stays loaded and can be put back.
 * Maps are shared by name as `bmc serve --xdp` shares them. Memory of maps is never given back, so what
 * uploads may take together is bounded.
 */
import type { Logger } from "pino";
import type { LoadedProgram } from "../bpf/kernel.ts";
import { LoadError } from "../bpf/load-error.ts";
import type { MapDef, Program, ProgramType } from "../bpf/program.ts";
import { type StreamPair, StreamPrograms } from "../hooks/stream-programs.ts";
import type { TcpStreamHook } from "../hooks/tcp-stream.ts";
import {
  ATTACH_PLACES,
  type AttachPlace,
  type ServingProgram,
  Unfulfillable,
  type Upload,
} from "../http/lab/backend.ts";
import type { HotMachine } from "../tiers/hot/machine.ts";
import { otherHalf, type Proof } from "./lab-proof.ts";
import type { MemcachedFront } from "./memcached-front.ts";
import { proveElsewhere } from "./prove-elsewhere.ts";

const MAX_MAP_BYTES = 256 * 2 ** 20;
/** Beside its key and value an element has a header. */
const ELEMENT_BYTES = 16;

export type LabProgramsParts = {
  readonly machine: HotMachine | null;
  readonly hook: TcpStreamHook | null;
  readonly memcached: MemcachedFront | null;
  readonly verifyTimeMs: number;
  readonly logger: Logger;
};

/** One place's exchange: what is there now, and how another program gets there. */
type Place = {
  readonly serving: () => readonly LoadedProgram[];
  readonly attached: () => boolean;
  /** @throws LoadError; nothing has changed then */
  readonly load: (proof: Proof) => readonly LoadedProgram[];
  readonly put: (programs: readonly LoadedProgram[]) => void;
  readonly remove: () => void;
};

export class LabPrograms {
  readonly #parts: LabProgramsParts;
  readonly #places = new Map<AttachPlace, Place>();
  /** What the service started with. */
  readonly #original = new Map<AttachPlace, readonly LoadedProgram[]>();
  /** Loaded here, tail-call targets too; unloaded when another takes their place. */
  readonly #ours = new Set<LoadedProgram>();
  #mapBytes = 0;
  #busy = false;

  constructor(parts: LabProgramsParts) {
    this.#parts = parts;
    const { machine, hook, memcached } = parts;
    if (machine === null) return;
    if (hook !== null) this.#places.set("sk_skb", streamPlace(machine, hook));
    if (memcached !== null) {
      for (const where of ["xdp", "tc"] as const)
        this.#places.set(where, packetPlace(machine, memcached, where));
    }
    for (const [name, place] of this.#places) this.#original.set(name, place.serving());
  }

  get places(): readonly AttachPlace[] {
    return [...this.#places.keys()];
  }

  serving(): readonly ServingProgram[] {
    const exchangeable = [...this.#places].flatMap(([place, { serving, attached }]) =>
      serving().map((loaded) => this.#shown(place, atOf(loaded), loaded, attached())),
    );
    const stream = this.#parts.memcached?.stream ?? null;
    if (stream === null) return exchangeable;
    const { parser, verdict } = stream.programs;
    return [
      ...exchangeable,
      ...[parser, verdict].map((loaded) =>
        this.#shown(null, `${atOf(loaded)}, memcached over TCP`, loaded, stream.attached),
      ),
    ];
  }

  #shown(
    place: AttachPlace | null,
    at: string,
    loaded: LoadedProgram,
    isPlaceAttached: boolean,
  ): ServingProgram {
    return {
      place,
      at,
      name: loaded.program.name,
      from: this.#ours.has(loaded) ? "lab" : "start",
      attached: isPlaceAttached && loaded.fault === null,
      instructions: loaded.program.bytecode.length / 8,
      runs: loaded.stats.runs,
      fault: loaded.fault?.message ?? null,
    };
  }

  /** @throws Unfulfillable with the verifier's own words, or what else is against it */
  async attach(upload: Upload): Promise<void> {
    if (this.#busy) throw new Unfulfillable("another program is being verified; wait for its verdict");
    const { machine, verifyTimeMs, logger } = this.#parts;
    if (machine === null) throw new Unfulfillable(NO_HOOK.sk_skb);
    this.#busy = true;
    try {
      const proof = await proveElsewhere({ upload, sharedMaps: machine.sharedMaps }, verifyTimeMs);
      if (proof.kind === "refused") throw new Unfulfillable(proof.why);
      const place = this.#placeOf(proof.program);
      this.#reserve(proof, machine.sharedMaps);
      const { programs, fresh } = load(machine, () => place.load(proof));
      for (const loaded of fresh) this.#ours.add(loaded);
      // Entries another program filled are not this one's to serve.
      machine.hot.clear();
      place.put(programs);
      this.#unload(proof.program.type, [...programs, ...fresh]);
      logger.warn({ program: proof.program.name, type: proof.program.type }, "program attached from the lab");
    } catch (error) {
      throw error instanceof LoadError ? new Unfulfillable(error.message) : error;
    } finally {
      this.#busy = false;
    }
  }

  /** @throws Unfulfillable */
  detach(name: AttachPlace): void {
    const place = this.#place(name);
    place.remove();
    // Userspace fills on; what the program left in the hot map must neither be served later nor hinder it.
    this.#parts.machine?.hot.clear();
    this.#parts.logger.warn({ place: name }, "program detached from the lab");
  }

  /** What the service started with serves again. @throws Unfulfillable */
  restore(name: AttachPlace): void {
    const place = this.#place(name);
    const original = this.#original.get(name) ?? [];
    const failed = original.find(({ fault }) => fault !== null);
    if (failed) throw new Unfulfillable(`${failed.program.name} failed at run time and stays detached`);
    this.#parts.machine?.hot.clear();
    place.put(original);
    this.#unload(name, original);
    this.#parts.logger.warn({ place: name }, "programs of the start restored from the lab");
  }

  #place(name: AttachPlace): Place {
    const place = this.#places.get(name);
    if (place === undefined) throw new Unfulfillable(NO_HOOK[name]);
    return place;
  }

  #placeOf({ type, name }: Program): Place {
    const known = ATTACH_PLACES.find((place) => place === type);
    if (known) return this.#place(known);
    throw new Unfulfillable(`${name} is a ${type} program, and no hook here takes one`);
  }

  #unload(type: ProgramType, kept: readonly LoadedProgram[]): void {
    for (const loaded of this.#ours) {
      if (loaded.type !== type || kept.includes(loaded)) continue;
      this.#ours.delete(loaded);
      this.#parts.machine?.unload(loaded);
    }
  }

  #reserve({ verdicts }: Proof, sharedMaps: readonly MapDef[]): void {
    const shared = new Set(sharedMaps.map(({ name }) => name));
    const own = new Set(
      [...verdicts.keys()].flatMap(({ maps }) => maps.filter(({ name }) => !shared.has(name))),
    );
    let bytes = 0;
    for (const def of own) bytes += def.maxEntries * (def.keyBytes + def.valueBytes + ELEMENT_BYTES);
    if (this.#mapBytes + bytes > MAX_MAP_BYTES) {
      throw new Unfulfillable(
        `its maps take ${bytes} bytes; uploads may take ${MAX_MAP_BYTES} together until the service is restarted, and ${this.#mapBytes} are taken`,
      );
    }
    this.#mapBytes += bytes;
  }
}

function atOf({ program: { type, attach } }: LoadedProgram): string {
  return attach ? `${type}/${attach}` : type;
}

/** What was loaded anew; nothing of it stays when a part of it cannot be. */
function load(
  machine: HotMachine,
  act: () => readonly LoadedProgram[],
): { readonly programs: readonly LoadedProgram[]; readonly fresh: readonly LoadedProgram[] } {
  const before = new Set(machine.programs);
  const fresh = () => machine.programs.filter((loaded) => !before.has(loaded));
  try {
    return { programs: act(), fresh: fresh() };
  } catch (error) {
    for (const loaded of fresh()) machine.unload(loaded);
    throw error;
  }
}

/** Why a program of this type cannot be attached, where it cannot. */
export const NO_HOOK: Readonly<Record<AttachPlace, string>> = {
  sk_skb: "the service was started with --offload off: it has no hook",
  xdp: "XDP programs are attached before memcached: start the service with --memcached 127.0.0.1:11211",
  tc: "tc programs are attached behind memcached: start the service with --memcached 127.0.0.1:11211",
};

function streamPlace(machine: HotMachine, hook: TcpStreamHook): Place {
  const pairOf = ({ parser, verdict }: StreamPair) => [parser, verdict];
  return {
    serving: () => pairOf(hook.programs),
    attached: () => hook.attached,
    load: ({ object, program, verdicts }) => {
      const other = otherHalf(object, program);
      const loaded = machine.load(program, verdicts);
      const { parser, verdict } = hook.programs;
      const isParser = program.attach === "stream_parser";
      const kept = isParser ? verdict : parser;
      if (other === null && kept.fault !== null) {
        throw new LoadError("ENGINE", `${kept.program.name}, its other half, failed at run time: bring both`);
      }
      const half = other === null ? kept : machine.load(other, verdicts);
      return isParser ? [loaded, half] : [half, loaded];
    },
    put: ([parser, verdict]) => {
      if (!parser || !verdict) return;
      hook.replace(new StreamPrograms(machine, { parser, verdict }, hook.programs.packet));
      hook.resume();
    },
    remove: () => hook.detach(),
  };
}

function packetPlace(machine: HotMachine, memcached: MemcachedFront, where: "xdp" | "tc"): Place {
  // Shown while it is detached, too.
  let latest = memcached[where];
  return {
    serving: () => (latest === null ? [] : [latest]),
    attached: () => memcached[where] === latest,
    load: ({ object, program, verdicts }) => [machine.loadWithTailCalls(object, program.name, [], verdicts)],
    put: ([loaded]) => {
      latest = loaded ?? null;
      memcached.replace(where, latest);
    },
    remove: () => memcached.replace(where, null),
  };
}
