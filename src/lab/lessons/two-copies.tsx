/**
 * Lesson 6: two copies of one value, and the race between a fill and a write. The reader steps through a
 * schedule by hand; a tiny model of both tiers says what each step leaves behind.
 */
import { useState } from "preact/hooks";
import type { Lesson } from "./lesson.ts";
import { ACTIONS, type Action, enabled, initialRace, type Race, step } from "./race-model.ts";

function Text() {
  return (
    <>
      <p>
        A value that is in the hot and in the cold tier is in two places, and two places can disagree. The
        rule here, as in BMC: <strong>a write invalidates, it never updates</strong>. The next reader fetches
        the new value from the cold tier and fills the hot one.
      </p>
      <p>
        That leaves one race. A reader misses, asks the cold tier and gets the old value. Before it fills, a
        writer changes the key and is acknowledged. Now the late fill puts the old value back, and from then
        on every reader gets it, at top speed.
      </p>
      <p>
        The cure is a <strong>generation number</strong> per slot. Each invalidation adds one. The reader
        notes it before it asks the cold tier and may fill only if it is still the same. A writer counts
        itself in while it works, so that nobody fills in between either.
      </p>
      <p>
        Run the service with <code>--fill-race unsafe</code> and the check is off: the project's own
        linearizability checker then finds stale reads within seconds. A checker that cannot fail proves
        nothing.
      </p>
      <p class="try">
        <strong>Try:</strong> with the check off, find an order of the six steps that ends in a stale read.
        Then switch it on and try the same order.
      </p>
    </>
  );
}

function Controls() {
  const [checked, setChecked] = useState(false);
  const [history, setHistory] = useState<readonly Race[]>([initialRace(false)]);
  const race = history.at(-1) ?? initialRace(checked);
  const restart = (withCheck: boolean) => {
    setChecked(withCheck);
    setHistory([initialRace(withCheck)]);
  };
  const take = (action: Action) => setHistory([...history, step(race, action)]);
  return (
    <>
      <label class="check">
        <input type="checkbox" checked={checked} onChange={(e) => restart(e.currentTarget.checked)} /> Check
        the generation before a fill
      </label>
      <div class="race-actors">
        {(["reader", "writer"] as const).map((actor) => (
          <fieldset key={actor}>
            <legend>{actor}</legend>
            {ACTIONS.filter((a) => a.actor === actor).map((action) => (
              <button
                key={action.name}
                type="button"
                disabled={!enabled(race, action)}
                onClick={() => take(action)}
              >
                {action.title}
              </button>
            ))}
          </fieldset>
        ))}
      </div>
      <dl class="race-state">
        <dt>cold tier</dt>
        <dd>{race.cold}</dd>
        <dt>hot tier</dt>
        <dd>{race.hot ?? "empty"}</dd>
        <dt>generation</dt>
        <dd>{race.generation}</dd>
        <dt>reader's ticket</dt>
        <dd>{race.ticket ?? "none"}</dd>
        <dt>reader holds</dt>
        <dd>{race.readerHolds ?? "nothing"}</dd>
      </dl>
      <p
        role="status"
        class={race.verdict === "stale" ? "bad" : race.verdict === "safe" ? "good" : undefined}
      >
        {race.note}
      </p>
      <p>
        <button type="button" disabled={history.length < 2} onClick={() => setHistory(history.slice(0, -1))}>
          One step back
        </button>{" "}
        <button type="button" onClick={() => restart(checked)}>
          Start again
        </button>
      </p>
    </>
  );
}

export const twoCopies: Lesson = {
  title: "Keeping two copies coherent",
  summary: "The race between a fill and a write, and the generation number that stops it.",
  Text,
  Controls,
};
