/** The packet a program is run on: as hex or as text, whichever is at hand; both show the same bytes. */
import { useState } from "preact/hooks";
import { hexRows, type ParsedBytes, parseHex, parseText, toHex } from "./bytes-text.ts";

type Props = {
  readonly bytes: Uint8Array;
  readonly presets: readonly { readonly name: string; readonly bytes: Uint8Array }[];
  readonly onChange: (bytes: Uint8Array) => void;
};

export function PacketEditor({ bytes, presets, onChange }: Props) {
  const [mode, setMode] = useState<"hex" | "text">("hex");
  const [draft, setDraft] = useState<string | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const shown =
    draft ??
    (mode === "hex"
      ? hexRows(bytes)
          .map((row) => row.hex)
          .join("\n")
      : asText(bytes));

  const edit = (text: string) => {
    setDraft(text);
    const parsed: ParsedBytes = mode === "hex" ? parseHex(text) : parseText(text);
    setProblem(parsed.ok ? null : parsed.message);
    if (parsed.ok) onChange(parsed.bytes);
  };
  const show = (next: "hex" | "text") => {
    setMode(next);
    setDraft(null);
    setProblem(null);
  };

  return (
    <section class="packet-editor" aria-label="Packet">
      <p class="control-row">
        <label class="choice">
          <span>Packet</span>
          <select
            onChange={(event) => {
              const preset = presets[event.currentTarget.selectedIndex - 1];
              if (!preset) return;
              onChange(preset.bytes);
              show(mode);
            }}
          >
            <option>choose…</option>
            {presets.map(({ name }) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <button type="button" aria-pressed={mode === "hex"} onClick={() => show("hex")}>
          hex
        </button>
        <button type="button" aria-pressed={mode === "text"} onClick={() => show("text")}>
          text
        </button>
        <span>{bytes.length} bytes</span>
      </p>
      <div class="packet-columns">
        <textarea
          class="mono"
          rows={8}
          spellcheck={false}
          aria-label={mode === "hex" ? "Packet bytes in hex" : "Packet as text"}
          value={shown}
          onInput={(event) => edit(event.currentTarget.value)}
        />
        <pre class="mono" aria-hidden="true">
          {hexRows(bytes)
            .map((row) => `${row.offset}  ${row.ascii}`)
            .join("\n")}
        </pre>
      </div>
      <p role="alert" class="bad problem">
        {problem}
      </p>
    </section>
  );
}

/** Printable as it is, anything else as its hex: editing it as text would lose it, so it is shown. */
function asText(bytes: Uint8Array): string {
  const isText = bytes.every((b) => b === 0x0d || b === 0x0a || (b >= 0x20 && b < 0x7f));
  return isText ? String.fromCharCode(...bytes).replace(/\r\n/g, "\n") : toHex(bytes);
}
