/** The verdict in plain words, before any detail: what rule, where, in which C line, what repairs it. */
import { RULES } from "../../bpf/verifier/rules.ts";
import { formatCount } from "../format.ts";
import type { Failed, Verified } from "./protocol.ts";

type Props = { readonly reply: Verified | Failed | null; readonly busy: boolean };

export function VerdictPanel({ reply, busy }: Props) {
  return (
    <section class="panel verdict" aria-label="Verdict" aria-live="polite" aria-busy={busy}>
      {busy ? <h2>Verifying…</h2> : reply === null ? <h2>Not verified yet</h2> : <Told reply={reply} />}
    </section>
  );
}

function Told({ reply }: { reply: Verified | Failed }) {
  if (reply.kind === "failed") {
    return (
      <>
        <h2 class="bad">No verdict: {reply.message}</h2>
        <ul>
          {reply.errors.slice(0, 5).map((error) => (
            <li key={`${error.line}:${error.column}`}>
              Line {error.line}: {error.message}
            </li>
          ))}
        </ul>
      </>
    );
  }
  const { verdict, lineOfSlot } = reply;
  const walked = `${formatCount(verdict.stats.insnsProcessed)} instructions walked of at most ${formatCount(verdict.limit)}`;
  if (verdict.rule === null) {
    const stack = verdict.functions.reduce((sum, f) => sum + f.stackBytes, 0);
    return (
      <>
        <h2 class="good">Accepted</h2>
        <p>
          On no path can it touch memory it was not given, or run for ever. {walked};{" "}
          {verdict.stats.totalStates} {verdict.stats.totalStates === 1 ? "state" : "states"} kept, {stack}{" "}
          bytes of stack.
        </p>
        {verdict.missingHelpers.length > 0 && (
          <p class="bad">It calls {verdict.missingHelpers.join(", ")}, which this machine cannot run.</p>
        )}
      </>
    );
  }
  const rule = RULES[verdict.rule];
  const line = verdict.insn === null ? undefined : lineOfSlot[verdict.insn];
  return (
    <>
      <h2 class="bad">Rejected: {rule.title}</h2>
      <p>
        {verdict.insn !== null && `Instruction ${verdict.insn}${line ? `, line ${line}` : ""}: `}
        <code class="verdict-message">{verdict.message}</code>
      </p>
      {verdict.source && (
        <p>
          C source, line {verdict.source.line}: <code>{verdict.source.text.trim()}</code>
        </p>
      )}
      <p>
        <strong>Usual repair:</strong> {rule.hint}
      </p>
      <p class="step-from">
        Rule {verdict.rule}; {walked}.
      </p>
    </>
  );
}
