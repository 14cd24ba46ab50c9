/** Every kind of experiment by the name its files give. */
import type { Kind } from "../experiment.ts";
import { bmcCores, bmcTraffic } from "./bmc.ts";
import { policies, writes } from "./caches.ts";
import { bypass, copy } from "./data-paths.ts";
import { hooks } from "./hooks.ts";
import { partialOffload } from "./partial-offload.ts";
import { hitRatio, isolation } from "./pressure.ts";
import { replay } from "./replay.ts";
import { telemetry } from "./telemetry.ts";

export const KINDS: Readonly<Record<string, Kind>> = {
  "partial-offload": partialOffload,
  "bmc-cores": bmcCores,
  "bmc-traffic": bmcTraffic,
  hooks,
  copy,
  bypass,
  isolation,
  "hit-ratio": hitRatio,
  policies,
  writes,
  telemetry,
  replay,
};
