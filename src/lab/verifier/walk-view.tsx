/** The walk, step by step: what each instruction did to what the verifier knows of registers and stack. */
import { useMemo } from "preact/hooks";
import { bitLength, knownBits, parseNumber } from "./known-number.ts";
import { Stepper } from "./stepper.tsx";
import { isBegin, type StateView, stateAt, type WalkStep } from "./walk-log.ts";

type Props = {
  readonly steps: readonly WalkStep[];
  readonly at: number;
  readonly onMove: (at: number) => void;
};

export function WalkView({ steps, at, onMove }: Props) {
  const begins = useMemo(() => steps.flatMap((step, index) => (isBegin(step) ? [index] : [])), [steps]);
  const pruned = useMemo(() => steps.filter((step) => step.kind === "safe").length, [steps]);
  const step = steps[at];
  if (!step) return null;
  const state = stateAt(steps, at);
  return (
    <section class="panel walk" aria-label="The verifier's walk">
      <h2>
        The walk{" "}
        <span class="figure">
          {begins.length} {begins.length === 1 ? "path" : "paths"}, {pruned} pruned
        </span>
      </h2>
      <Stepper label="Walk" count={steps.length} at={at} onMove={onMove} landmarks={begins}>
        <div class="walk-step" aria-live="polite">
          <p class="step-source mono">{step.source ?? ""}</p>
          <p class="mono">
            <strong>{step.insn}</strong>: {step.text}
          </p>
          <p class={step.kind === "safe" ? "good" : "step-from"}>{remark(step)}</p>
        </div>
        <StateTables state={state} />
      </Stepper>
    </section>
  );
}

function remark(step: WalkStep): string {
  if (step.kind === "safe") return "Pruned: this branch is not walked again.";
  if (step.kind === "resume") return `Back to the branch at ${step.from}, now the way it did not take.`;
  if (step.kind === "start") return "What a program is given: its context in R1, its stack in R10.";
  return "";
}

function StateTables({ state }: { state: StateView }) {
  return (
    <>
      {state.frames.map((frame, index) => (
        <div class="scroll" key={frame.index}>
          <table class="state-table">
            <caption class={state.frames.length > 1 ? "" : "visually-hidden"}>Frame {frame.index}</caption>
            <tbody>
              {[...frame.values].sort(byPlace).map(([name, value]) => (
                <tr
                  key={name}
                  class={
                    index === state.frames.length - 1 && state.changed.has(name) ? "is-changed" : undefined
                  }
                >
                  <th scope="row">{name}</th>
                  <td>
                    <Value text={value} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ))}
    </>
  );
}

/** Registers by number, then the stack from its top down. */
function byPlace([a]: [string, string], [b]: [string, string]): number {
  const rank = (name: string) => Number(name.replace(/\D/g, "")) + (name.startsWith("R") ? 0 : 1_000);
  return rank(a) - rank(b);
}

/** On a scale of bits: 0 at the left, 2^64 - 1 at the right. */
const BITS = 64;

function Value({ text }: { text: string }) {
  const number = parseNumber(text);
  if (!number || number.mask === 0n) return <code>{text}</code>;
  const from = bitLength(number.umin);
  const to = bitLength(number.umax);
  const label = `${number.umin} to ${number.umax}`;
  return (
    <>
      <code>
        {number.umax === (1n << 64n) - 1n && number.umin === 0n
          ? "any number"
          : `${show(number.umin)} … ${show(number.umax)}`}
      </code>{" "}
      <span class="bits mono" title={text}>
        bits {knownBits(number)}
      </span>
      <svg
        class="range"
        viewBox={`0 0 ${BITS + 1} 4`}
        preserveAspectRatio="none"
        role="img"
        aria-label={label}
      >
        <rect class="range-all" x="0" y="0" width={BITS + 1} height="4" />
        <rect class="range-known" x={from} y="0" width={to - from + 1} height="4" />
      </svg>
    </>
  );
}

function show(x: bigint): string {
  return x > 0xff_ffffn ? `0x${x.toString(16)}` : String(x);
}
