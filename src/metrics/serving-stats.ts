/**
 * What the userspace side of serving counts, as plain numbers and typed arrays that /metrics reads at
 * scrape time. What programs do is counted by the programs, in BPF maps.
 */
import { CROSSING_INDEX, CROSSINGS, type Crossing } from "../tiers/crossing.ts";
import { LogHistogram } from "./log-histogram.ts";

export type TierName = "hot" | "cold";

export class ServingStats {
  /** Clock-measured and model-charged nanoseconds of answered reads, by tier. Never mixed. */
  readonly observed: Readonly<Record<TierName, LogHistogram>> = {
    hot: new LogHistogram(),
    cold: new LogHistogram(),
  };
  readonly modelled: Readonly<Record<TierName, LogHistogram>> = {
    hot: new LogHistogram(),
    cold: new LogHistogram(),
  };
  /** By index in CROSSINGS. */
  readonly crossings = new Float64Array(CROSSINGS.length);
  /** Writes that userspace was asked for. */
  writes = 0;
  ebpfBytes = 0;
  nativeBytes = 0;

  crossed(why: Crossing): void {
    this.crossings[CROSSING_INDEX[why]]!++;
  }
}
