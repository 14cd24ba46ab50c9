/** Hands the program to the running service, or says why that is not possible. */
import { useEffect, useState } from "preact/hooks";
import type { ProgramType } from "../../bpf/program.ts";
import { attachProgram, getSession, type Session } from "../api.ts";
import type { Failed, Source, Verified } from "./protocol.ts";

/** What a program of each type stands before; null: no hook takes it. */
const WHERE: Readonly<Record<ProgramType, string | null>> = {
  sk_skb: "before the HTTP server",
  xdp: "before memcached",
  tc: "behind memcached",
  socket_filter: null,
};

type Props = { readonly source: Source; readonly reply: Verified | Failed | null; readonly busy: boolean };
type State = { readonly kind: "ready" | "asked" | "done" | "refused"; readonly text: string };
const READY: State = { kind: "ready", text: "" };

export function Attach({ source, reply, busy }: Props) {
  const [session, setSession] = useState<Session | null>(null);
  const [state, setState] = useState<State>(READY);
  useEffect(() => {
    getSession().then(setSession, () => {});
  }, []);
  // Another program or another verdict: what was said of the last one is no longer of interest.
  useEffect(() => setState(READY), [reply]);

  const why = problem(session, reply, busy);
  const place = reply?.kind === "verified" ? WHERE[reply.type] : null;
  const attach = async () => {
    setState({ kind: "asked", text: "The service verifies it…" });
    try {
      await attachProgram(source);
      setState({
        kind: "done",
        text: `Attached ${place}. The Live page shows it at work, and puts the old one back.`,
      });
    } catch (error) {
      setState({ kind: "refused", text: error instanceof Error ? error.message : String(error) });
    }
  };
  return (
    <div class="attach">
      <p class="control-row">
        <button
          type="button"
          disabled={why !== null || state.kind === "asked"}
          aria-describedby="attach-why"
          onClick={attach}
        >
          Attach
        </button>
        <span id="attach-why" class="why">
          {why ?? `It will serve ${place}, in this very service.`}
        </span>
      </p>
      <p
        role="status"
        class={`attach-state ${state.kind === "refused" ? "bad" : state.kind === "done" ? "good" : ""}`}
      >
        {state.text}
      </p>
    </div>
  );
}

/** @returns why the button is off, or null */
function problem(session: Session | null, reply: Props["reply"], busy: boolean): string | null {
  if (session === null) return "The service is not reached.";
  if (session.whyNotAttach !== null) return `Attach is off: ${session.whyNotAttach}.`;
  if (busy || reply?.kind !== "verified" || !reply.verdict.accepted)
    return "Only what is accepted is attached.";
  if (WHERE[reply.type] === null) return `No hook of this service takes a ${reply.type} program.`;
  if (session.places.some((place) => place === reply.type)) return null;
  return reply.type === "sk_skb"
    ? "The service was started with --offload off: it has no hook."
    : `A program of type ${reply.type} needs memcached: start the service with --memcached 127.0.0.1:11211.`;
}
