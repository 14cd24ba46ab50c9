/** A request's modelled time as one bar of stages, with the ledger under it: each number with its source. */
import type { RequestFacts } from "../../costs/facts.ts";
import { costNs, type LedgerLine, ledger } from "../../costs/ledger.ts";
import type { Profile } from "../../costs/profile.ts";
import { formatNs } from "../format.ts";

type Props = {
  readonly title: string;
  readonly profile: Profile;
  readonly facts: RequestFacts;
  /** Nanoseconds the full width stands for, so that bars beside each other compare. */
  readonly fullNs: number;
};

export function CostBar({ title, profile, facts, fullNs }: Props) {
  const lines = ledger(profile, facts);
  const totalNs = costNs(profile, facts);
  const stages = [...Map.groupBy(lines, (line) => line.stage)].map(([stage, parts]) => ({
    stage,
    ns: parts.reduce((sum, part) => sum + part.ns, 0),
  }));
  return (
    <figure class="cost-bar">
      <figcaption>
        {title}: <strong>{formatNs(totalNs)}</strong> modelled
      </figcaption>
      <svg viewBox="0 0 1000 28" preserveAspectRatio="none" role="img" aria-label={describe(stages)}>
        {offsets(stages, fullNs).map(({ stage, x, width }) => (
          <rect
            key={stage}
            class={`stage stage-${stage.replaceAll(" ", "-")}`}
            x={x}
            y="0"
            width={width}
            height="28"
          >
            <title>{stage}</title>
          </rect>
        ))}
      </svg>
      <details>
        <summary>Line by line, with sources</summary>
        <LedgerTable lines={lines} />
      </details>
    </figure>
  );
}

export function LedgerTable({ lines }: { lines: readonly LedgerLine[] }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys
    <section class="scroll" aria-label="Ledger, line by line" tabIndex={0}>
      <table class="ledger-table">
        <thead>
          <tr>
            <th scope="col">stage</th>
            <th scope="col">what, and where the figure is from</th>
            <th scope="col">quantity</th>
            <th scope="col">each</th>
            <th scope="col">time</th>
          </tr>
        </thead>
        <tbody>
          {lines.map((line) => (
            <tr key={line.item}>
              <td>
                <span class={`swatch stage-${line.stage.replaceAll(" ", "-")}`} /> {line.stage}
              </td>
              <td>
                {line.item}
                <br />
                <span class="why">
                  [{line.source}] {line.ref}
                </span>
              </td>
              <td class="number">{line.quantity}</td>
              <td class="number">
                {Number(line.unitNs.toPrecision(4))} {line.unit}
              </td>
              <td class="number">{formatNs(line.ns)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

type Stage = { readonly stage: string; readonly ns: number };

function offsets(stages: readonly Stage[], fullNs: number): { stage: string; x: number; width: number }[] {
  let x = 0;
  return stages.map(({ stage, ns }) => {
    const width = (1000 * ns) / fullNs;
    const at = { stage, x, width };
    x += width;
    return at;
  });
}

function describe(stages: readonly Stage[]): string {
  return stages.map(({ stage, ns }) => `${stage} ${formatNs(ns)}`).join(", ");
}
