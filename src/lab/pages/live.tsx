/** The service as it runs: where requests go, how fast, and what each tier's time is made of. */
import { useEffect } from "preact/hooks";
import { formatBytes, formatCount, formatPercent } from "../format.ts";
import { Controls } from "../live/controls.tsx";
import { Latency } from "../live/latency.tsx";
import { PathDiagram } from "../live/path-diagram.tsx";
import { Programs } from "../live/programs.tsx";
import { Rates } from "../live/rates.tsx";
import { Samples } from "../live/samples.tsx";
import { type Snapshot, TIERS, type Window } from "../live/snapshot.ts";
import { connection, latest, open, recent, snapshots } from "../live/stream.ts";
import "../styles/live.css";

const STATE_TEXT = {
  connecting: "connecting…",
  live: "live",
  stopped: "the server is stopped; waiting for it to come back",
} as const;

export function Live() {
  useEffect(open, []);
  const snapshot = latest.value;
  const window = recent.value;
  return (
    <>
      <h1>
        Live{" "}
        <span class={`connection connection-${connection.value}`} role="status">
          {STATE_TEXT[connection.value]}
        </span>
      </h1>
      {snapshot && <Dashboard snapshot={snapshot} window={window} />}
    </>
  );
}

function Dashboard({ snapshot, window }: { snapshot: Snapshot; window: Window | null }) {
  return (
    <div class="live">
      <div class="live-column">
        <section class="panel" aria-label="The way of a request">
          <PathDiagram snapshot={snapshot} window={window} />
        </section>
        <section class="panel" aria-label="Requests per second">
          <h2>
            Requests per second{" "}
            <span class="figure">hit ratio {formatPercent(window?.hitRatio ?? Number.NaN)}</span>
          </h2>
          <Rates snapshots={snapshots.value} />
        </section>
        <Programs programs={snapshot.programs} />
      </div>
      <div class="live-column">
        <Controls snapshot={snapshot} />
        <section class="panel" aria-label="Latency by tier">
          <h2>Latency: observed and modelled</h2>
          <div class="latencies">
            {TIERS.map((tier) => (
              <Latency
                key={tier}
                tier={tier}
                observed={window?.observed[tier] ?? []}
                modelled={window?.modelled[tier] ?? []}
              />
            ))}
          </div>
        </section>
        <Counts snapshot={snapshot} />
      </div>
      <Samples />
    </div>
  );
}

function Counts({ snapshot }: { snapshot: Snapshot }) {
  const { hot } = snapshot;
  const crossings = Object.entries(snapshot.crossings).filter(([, n]) => n > 0);
  return (
    <section class="panel live-counts" aria-label="Counters">
      <h2>Since the start</h2>
      <dl>
        <dt>hot map</dt>
        <dd>
          {formatCount(hot.live)} of {formatCount(hot.entries)} slots, {formatBytes(hot.bytes)}
        </dd>
        <dt>fills</dt>
        <dd>{formatCount(hot.fills)}</dd>
        <dt>collisions</dt>
        <dd>{formatCount(hot.collisions)}</dd>
        <dt>invalidations</dt>
        <dd>{formatCount(hot.invalidations)}</dd>
        {Object.entries(snapshot.verdicts).map(([program, verdicts]) => (
          <Row key={program} name={program} text={pairs(Object.entries(verdicts))} />
        ))}
        <Row name="crossed because" text={crossings.length === 0 ? "nothing crossed" : pairs(crossings)} />
      </dl>
    </section>
  );
}

function Row({ name, text }: { name: string; text: string }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{text}</dd>
    </>
  );
}

function pairs(entries: readonly (readonly [string, number])[]): string {
  return entries.map(([name, n]) => `${name} ${formatCount(n)}`).join(", ");
}
