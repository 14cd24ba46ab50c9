/**
 * Time of day that a step of the wall clock does not move, as memcached keeps it: what the clock said when the
 * process began, and what the monotonic clock has counted since. Items of a store in memory end by it, so the cold
 * tier agrees with the hot one, whose entries count monotonic nanoseconds. A store that machines share goes
 * by the wall clock instead (docs/redis.md).
 */

/** Time of day less the machine's monotonic clock: taken once a process, so that all its threads agree. */
export function timeOfDayOffsetMs(): number {
  return Date.now() - monotonicMs();
}

/** @returns whole milliseconds since the epoch */
export function steadyClock(offsetMs: number): () => number {
  // performance.now() is the cheaper of the two, but begins at 0 with each thread.
  const originMs = offsetMs + monotonicMs() - performance.now();
  return () => Math.floor(originMs + performance.now());
}

function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
