/** Lesson 2: three tiny programs and their verdicts, spoken by the verifier itself. */
import { useEffect, useState } from "preact/hooks";
import { RULES } from "../../bpf/verifier/rules.ts";
import { VerifierClient } from "../verifier/client.ts";
import type { Verified } from "../verifier/protocol.ts";
import { RULE_EXAMPLES } from "../verifier/rule-examples.ts";
import type { Lesson } from "./lesson.ts";

const RULES_SHOWN = ["packet-bounds", "null-pointer", "infinite-loop"] as const;
type Shown = (typeof RULES_SHOWN)[number];
const WHAT: Readonly<Record<Shown, string>> = {
  "packet-bounds": "Read the first byte of a packet",
  "null-pointer": "Count in a map",
  "infinite-loop": "Go round",
};

function Text() {
  return (
    <>
      <p>
        A program at a hook runs inside the kernel, on every packet, with nothing between it and the memory of
        all others. So it is not trusted: before it is loaded, a <strong>verifier</strong> follows every way
        through it and asks of each instruction what registers and stack can hold there.
      </p>
      <p>
        It knows numbers as ranges and as bits, and pointers by what they point to. An access passes if it is
        inside its object for <em>every</em> value the state allows; a loop passes if it must end. What cannot
        be proved is refused, even if it would never go wrong: a packet's bytes count only once compared with
        its end, a map's value only once tested for NULL.
      </p>
      <p>
        The price is a budget of one million instructions walked. BMC hit it: its key hashing program of 142
        instructions took 787,898 of them [CH], and so BMC became seven programs joined by tail calls, with
        keys of at most 250 bytes and values of at most 1,000.
      </p>
      <p class="try">
        <strong>Try:</strong> switch each program between broken and repaired, then open one in the Verifier
        and step to the instruction that fails. What did the repair add to the state?
      </p>
    </>
  );
}

function Controls() {
  const [repaired, setRepaired] = useState<ReadonlySet<Shown>>(new Set());
  const [verdicts, setVerdicts] = useState<ReadonlyMap<Shown, Verified>>(new Map());
  const [client] = useState(() => new VerifierClient());
  useEffect(() => () => client.close(), [client]);
  useEffect(() => {
    let isCurrent = true;
    Promise.all(
      RULES_SHOWN.map(async (rule) => {
        const text = textOf(rule, repaired.has(rule));
        const reply = await client.ask({ kind: "verify", source: { kind: "text", text }, options: {} });
        return [rule, reply] as const;
      }),
    ).then((replies) => {
      if (!isCurrent) return;
      setVerdicts(
        new Map(replies.flatMap(([rule, reply]) => (reply.kind === "verified" ? [[rule, reply]] : []))),
      );
    });
    return () => {
      isCurrent = false;
    };
  }, [client, repaired]);
  const toggle = (rule: Shown) => {
    const next = new Set(repaired);
    if (!next.delete(rule)) next.add(rule);
    setRepaired(next);
  };
  return (
    <>
      {RULES_SHOWN.map((rule) => {
        const isRepaired = repaired.has(rule);
        const verdict = verdicts.get(rule)?.verdict;
        return (
          <section key={rule} aria-label={WHAT[rule]}>
            <h2>{WHAT[rule]}</h2>
            <pre class="program mono">{textOf(rule, isRepaired)}</pre>
            <p aria-live="polite" class={verdict?.accepted ? "good" : "bad"}>
              {verdict === undefined
                ? "…"
                : verdict.rule === null
                  ? "Accepted."
                  : `Rejected: ${RULES[verdict.rule].title}.`}
            </p>
            <p class="control-row">
              <button type="button" aria-pressed={isRepaired} onClick={() => toggle(rule)}>
                repaired
              </button>
              <a href={`#/verifier/${rule}${isRepaired ? "-fixed" : ""}`}>Open in the Verifier</a>
            </p>
          </section>
        );
      })}
    </>
  );
}

function textOf(rule: Shown, isRepaired: boolean): string {
  const example = RULE_EXAMPLES[rule];
  return (isRepaired ? example?.fixed : example?.broken) ?? "";
}

export const theVerifier: Lesson = {
  title: "What the verifier forbids, and why",
  summary: "Three tiny programs it refuses, and what repairs each.",
  Text,
  Controls,
};
