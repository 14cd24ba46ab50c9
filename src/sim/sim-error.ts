/** A user's mistake in an experiment, a workload or a flag: one line naming it. */
export class SimError extends Error {
  readonly exitCode = 2;
}
