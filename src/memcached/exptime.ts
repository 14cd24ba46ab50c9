/** memcached's exptime: 0 never, negative already gone, to 30 days relative, beyond that a Unix time. */
const RELATIVE_MAX_SECONDS = 60 * 60 * 24 * 30;
/** Long past: an item stored with it is never returned. */
const EXPIRED_MS = 1;

export function expiresAtMs(exptime: number, nowMs: number): number {
  if (exptime === 0) return 0;
  if (exptime < 0) return EXPIRED_MS;
  return exptime > RELATIVE_MAX_SECONDS ? exptime * 1000 : nowMs + exptime * 1000;
}

/** Whole seconds left, rounded up as memcached's one-second clock shows them; -1 = never expires. */
export function secondsLeft(expiresAt: number, nowMs: number): number {
  return expiresAt === 0 ? -1 : Math.max(0, Math.ceil((expiresAt - nowMs) / 1000));
}
