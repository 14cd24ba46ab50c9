/** A run on one packet, step by step in the interpreter: registers, writes, then maps and the answer. */
import { hexRows, toHex } from "./bytes-text.ts";
import type { RunResult } from "./run-program.ts";
import { Stepper } from "./stepper.tsx";

type Props = {
  readonly result: RunResult;
  readonly at: number;
  readonly onMove: (at: number) => void;
};

export function RunView({ result, at, onMove }: Props) {
  const step = result.steps[at];
  return (
    <>
      <p role="status">
        {result.fault ? (
          <strong class="bad">Fault: {result.fault}</strong>
        ) : (
          <>
            Answer: <strong>{result.verdict}</strong> (r0 = {String(BigInt.asIntN(64, result.r0))}) after{" "}
            {result.steps.length} instructions{result.truncated && ", where the view was cut"}
          </>
        )}
      </p>
      {step && (
        <Stepper label="Run" count={result.steps.length} at={at} onMove={onMove}>
          <div class="walk-step">
            <p class="mono">
              <strong>{step.slot}</strong>: {step.text}
            </p>
            {step.writes.map((write) => (
              <p class="mono is-changed" key={write.place}>
                {write.place} ← {toHex(write.bytes)}
              </p>
            ))}
          </div>
          <div class="scroll">
            <table class="state-table">
              <caption class="visually-hidden">Registers</caption>
              <tbody>
                {step.registers.map((value, reg) => (
                  <tr key={reg} class={step.changed.includes(reg) ? "is-changed" : undefined}>
                    <th scope="row">r{reg}</th>
                    <td class="mono">
                      {String(value)} <span class="bits">0x{BigInt.asUintN(64, value).toString(16)}</span>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </Stepper>
      )}
      <h3>The packet afterwards</h3>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by keys */}
      <pre class="bytes mono" tabIndex={0}>
        {hexRows(result.packet)
          .map((row) => `${row.offset}  ${row.hex.padEnd(47)}  ${row.ascii}`)
          .join("\n") || "empty"}
      </pre>
      {result.maps.map((map) => (
        <details key={map.name}>
          <summary>
            Map {map.name}: {map.entries.length} entries that are not zero
          </summary>
          <pre class="bytes mono">
            {map.entries
              .map(
                ({ key, value }) =>
                  `${toHex(key)}: ${toHex(value.subarray(0, 64))}${value.length > 64 ? " …" : ""}`,
              )
              .join("\n")}
          </pre>
        </details>
      ))}
    </>
  );
}
