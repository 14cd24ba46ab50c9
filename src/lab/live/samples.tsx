/** A few of the last requests; choosing one opens its ledger. */
import { useEffect, useState } from "preact/hooks";
import { getSamples, type RequestSample } from "../api.ts";
import { formatNs } from "../format.ts";
import { LedgerTable } from "../parts/cost-bar.tsx";

const REFRESH_MS = 2_000;

export function Samples() {
  const [samples, setSamples] = useState<readonly RequestSample[]>([]);
  const [chosen, setChosen] = useState<RequestSample | null>(null);
  useEffect(() => {
    const refresh = () => {
      // A stopped server already shows in the page's head; the list just stays as it was.
      getSamples().then(setSamples, () => {});
    };
    refresh();
    const timer = setInterval(refresh, REFRESH_MS);
    return () => clearInterval(timer);
  }, []);
  return (
    <section class="panel samples" aria-label="Single requests">
      <h2>Single requests</h2>
      {samples.length === 0 && <p>No request yet: start the load, or ask for a key.</p>}
      <div class="samples-columns">
        <ul>
          {samples.map((sample) => (
            <li key={sample.id}>
              <button type="button" aria-pressed={sample.id === chosen?.id} onClick={() => setChosen(sample)}>
                <span class={`tier-${sample.tier}`}>{sample.tier}</span>{" "}
                <span class="mono">
                  {sample.method} {sample.key} → {sample.status}
                </span>{" "}
                {sample.crossed && <span class="why">crossed: {sample.crossed}</span>}
              </button>
            </li>
          ))}
        </ul>
        <div class="ledger">
          {chosen ? (
            <>
              <h3>
                {chosen.method} {chosen.key}
              </h3>
              <p>
                observed {formatNs(chosen.observedNs)} · modelled {formatNs(chosen.modelledNs)}
              </p>
              <LedgerTable lines={chosen.ledger} />
            </>
          ) : (
            samples.length > 0 && <p class="why">Choose a request to see what its time is made of.</p>
          )}
        </div>
      </div>
    </section>
  );
}
