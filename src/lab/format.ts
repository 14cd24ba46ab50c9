/** How figures read on the page. */

/** Nanoseconds in the unit a person would use. */
export function formatNs(ns: number): string {
  if (!Number.isFinite(ns)) return "–";
  if (ns < 1_000) return `${trim(ns)} ns`;
  if (ns < 1_000_000) return `${trim(ns / 1_000)} µs`;
  if (ns < 1_000_000_000) return `${trim(ns / 1_000_000)} ms`;
  return `${trim(ns / 1_000_000_000)} s`;
}

export function formatCount(n: number): string {
  if (!Number.isFinite(n)) return "–";
  if (n < 10_000) return String(Math.round(n));
  if (n < 1_000_000) return `${trim(n / 1_000)} K`;
  return `${trim(n / 1_000_000)} M`;
}

export function formatBytes(bytes: number): string {
  if (bytes < 1_024) return `${Math.round(bytes)} B`;
  if (bytes < 1_048_576) return `${trim(bytes / 1_024)} KiB`;
  return `${trim(bytes / 1_048_576)} MiB`;
}

export function formatPercent(share: number): string {
  return Number.isFinite(share) ? `${(100 * share).toFixed(1)} %` : "–";
}

/** Three significant digits, no trailing zeros. */
function trim(value: number): string {
  return value >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
}
