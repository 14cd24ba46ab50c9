/** Observed and modelled time of a tier side by side, as histograms over the same axis. */
import { formatNs } from "../format.ts";
import { type Buckets, quantileNs, type Tier } from "./snapshot.ts";

/** 64 ns to 67 ms: what is below or above is drawn in the first or last bar. */
const FIRST = 6;
const LAST = 26;

type Props = { readonly tier: Tier; readonly observed: Buckets; readonly modelled: Buckets };

export function Latency({ tier, observed, modelled }: Props) {
  return (
    <section class="latency" aria-label={`Latency of the ${tier} tier`}>
      <h3 class={`tier-${tier}`}>{tier} tier</h3>
      <Bars title="observed" buckets={observed} />
      <Bars title="modelled" buckets={modelled} />
    </section>
  );
}

function Bars({ title, buckets }: { title: string; buckets: Buckets }) {
  const shown = clamp(buckets);
  const largest = Math.max(1, ...shown);
  const total = shown.reduce((a, b) => a + b, 0);
  const p50 = formatNs(quantileNs(buckets, 0.5));
  const p99 = formatNs(quantileNs(buckets, 0.99));
  return (
    <figure class={`bars bars-${title}`}>
      <figcaption>
        {title} <span class="mono">p50 ≤ {p50}</span> <span class="mono">p99 ≤ {p99}</span>
      </figcaption>
      <svg
        viewBox={`0 0 ${shown.length * 10} 60`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${total} requests, median at most ${p50}, 99th percentile at most ${p99}`}
      >
        {shown.map((count, index) => {
          const height = (58 * count) / largest;
          return (
            <rect key={2 ** (index + FIRST)} x={index * 10 + 1} y={60 - height} width="8" height={height} />
          );
        })}
      </svg>
      <div class="axis" aria-hidden="true">
        <span>{formatNs(2 ** FIRST)}</span>
        <span>{formatNs(2 ** ((FIRST + LAST) / 2))}</span>
        <span>{formatNs(2 ** LAST)}</span>
      </div>
    </figure>
  );
}

function clamp(buckets: Buckets): number[] {
  const shown = new Array<number>(LAST - FIRST + 1).fill(0);
  for (const [index, count] of buckets.entries()) {
    const at = Math.min(Math.max(index, FIRST), LAST) - FIRST;
    shown[at] = (shown[at] ?? 0) + count;
  }
  return shown;
}
