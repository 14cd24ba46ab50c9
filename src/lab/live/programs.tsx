/** Which programs serve, at which hook; with --lab-write, off they come and back again. */
import { useEffect, useState } from "preact/hooks";
import { detachProgram, getSession, restoreProgram, type Session } from "../api.ts";
import { formatCount } from "../format.ts";
import type { ServingProgram } from "./snapshot.ts";

export function Programs({ programs }: { programs: readonly ServingProgram[] }) {
  const [session, setSession] = useState<Session | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    getSession().then(setSession, () => {});
  }, []);
  const act = (call: Promise<void>) => {
    setProblem("");
    call.catch((error: unknown) => setProblem(error instanceof Error ? error.message : String(error)));
  };
  const places = [...new Set(programs.flatMap(({ place }) => place ?? []))];
  const why = session?.whyNotAttach ?? null;
  return (
    <section class="panel programs" aria-label="Programs">
      <h2>Programs at the hooks</h2>
      {programs.length === 0 && <p>None: the service was started with --offload off.</p>}
      <ul>
        {programs.map((program) => (
          <li key={program.at}>
            <span class="mono">{program.name}</span> at {program.at}{" "}
            <span class={program.fault ? "bad" : program.attached ? "good" : "why"}>{stateOf(program)}</span>
            {program.from === "lab" && <strong> from the lab</strong>}
            <br />
            <span class="why">
              {formatCount(program.instructions)} instructions, {formatCount(program.runs)} runs
            </span>
          </li>
        ))}
      </ul>
      {session && why === null && (
        <p class="control-row">
          {places.map((place) => (
            <span key={place}>
              <button type="button" onClick={() => act(detachProgram(place))}>
                Detach {place}
              </button>{" "}
              <button type="button" onClick={() => act(restoreProgram(place))}>
                Restore {place}
              </button>
            </span>
          ))}
        </p>
      )}
      {why && <p class="why">Attach, detach and restore are off: {why}.</p>}
      <p role="alert" class="bad problem">
        {problem}
      </p>
    </section>
  );
}

function stateOf({ fault, attached }: ServingProgram): string {
  if (fault) return `failed and was detached: ${fault}`;
  return attached ? "attached" : "detached";
}
