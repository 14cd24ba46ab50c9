/** A program, its verdict in plain words, the walk that led there, and a run of it on a packet. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { VerifyOptions } from "../../bpf/verifier/verify.ts";
import { route } from "../router.ts";
import { Attach } from "../verifier/attach.tsx";
import { VerifierClient } from "../verifier/client.ts";
import { Editor } from "../verifier/editor.tsx";
import { GALLERY, type GalleryEntry, galleryEntry } from "../verifier/gallery.ts";
import { PacketEditor } from "../verifier/packet-editor.tsx";
import { PACKETS, SEEDS } from "../verifier/packets.ts";
import type { Failed, Opened, Ran, Source, Verified } from "../verifier/protocol.ts";
import { RunView } from "../verifier/run-view.tsx";
import { VerdictPanel } from "../verifier/verdict-panel.tsx";
import { parseWalk } from "../verifier/walk-log.ts";
import { WalkView } from "../verifier/walk-view.tsx";
import "../styles/verifier.css";

/** The server's body limit is of no matter here; a larger file is no eBPF object. */
const MAX_OBJECT_BYTES = 4 * 2 ** 20;

/** Takes files dropped anywhere on the page. @returns a function that ends it */
function onFileDrop(take: (file: File | undefined) => void): () => void {
  const over = (event: DragEvent) => event.preventDefault();
  const drop = (event: DragEvent) => {
    event.preventDefault();
    take(event.dataTransfer?.files[0]);
  };
  document.addEventListener("dragover", over);
  document.addEventListener("drop", drop);
  return () => {
    document.removeEventListener("dragover", over);
    document.removeEventListener("drop", drop);
  };
}

export function Verifier() {
  const client = useMemo(() => new VerifierClient(), []);
  useEffect(() => () => client.close(), [client]);
  const [chosen, setChosen] = useState(route.value.rest || "first");
  const [text, setText] = useState("");
  const [object, setObject] = useState<{ bytes: Uint8Array; opened: Opened; program: string } | null>(null);
  const [options, setOptions] = useState<VerifyOptions>({});
  const [verified, setVerified] = useState<Verified | Failed | null>(null);
  const [busy, setBusy] = useState(true);
  const [at, setAt] = useState(0);
  const [packet, setPacket] = useState<Uint8Array>(PACKETS[0]?.bytes ?? new Uint8Array());
  const [ran, setRan] = useState<Ran | Failed | null>(null);
  const [runAt, setRunAt] = useState(0);
  const [follows, setFollows] = useState<"walk" | "run">("walk");
  const round = useRef(0);

  const source: Source = object
    ? { kind: "object", bytes: object.bytes, program: object.program }
    : { kind: "text", text };
  const steps = useMemo(
    () => (verified?.kind === "verified" ? parseWalk(verified.verdict.log) : []),
    [verified],
  );

  const verifyIt = async (what: Source, how: VerifyOptions) => {
    const mine = ++round.current;
    setBusy(true);
    setRan(null);
    setFollows("walk");
    const reply = await client.ask({ kind: "verify", source: what, options: how });
    if (mine !== round.current || reply.kind === "opened" || reply.kind === "ran") return;
    const isRejected = reply.kind === "verified" && !reply.verdict.accepted;
    setAt(isRejected ? Math.max(0, parseWalk(reply.verdict.log).length - 1) : 0);
    setVerified(reply);
    setBusy(false);
  };

  const openObject = async (bytes: Uint8Array, wanted: string | null, how: VerifyOptions) => {
    const reply = await client.ask({ kind: "open", bytes, type: null });
    if (reply.kind === "failed") {
      setVerified(reply);
      setBusy(false);
    }
    if (reply.kind !== "opened") return;
    const program = reply.programs.find(({ name }) => name === wanted) ?? reply.programs[0];
    if (!program) return;
    setObject({ bytes, opened: reply, program: program.name });
    setText(program.text);
    await verifyIt({ kind: "object", bytes, program: program.name }, how);
  };

  const choose = async (entry: GalleryEntry) => {
    setChosen(entry.id);
    setOptions(entry.options);
    if (entry.kind === "text") {
      setObject(null);
      setText(entry.text);
      await verifyIt({ kind: "text", text: entry.text }, entry.options);
      return;
    }
    setBusy(true);
    const response = await fetch(entry.url);
    await openObject(new Uint8Array(await response.arrayBuffer()), entry.program, entry.options);
  };
  const { rest } = route.value;
  useEffect(() => {
    choose(galleryEntry(rest || "first"));
  }, [rest]);

  const openFile = async (file: File | undefined) => {
    if (!file) return;
    if (file.size > MAX_OBJECT_BYTES) {
      setVerified({ kind: "failed", message: `${file.name} is larger than 4 MiB`, errors: [] });
      return;
    }
    setChosen("");
    await openObject(new Uint8Array(await file.arrayBuffer()), null, options);
  };
  const take = useRef(openFile);
  take.current = openFile;
  useEffect(() => onFileDrop((file) => take.current(file)), []);
  const edit = (next: string) => {
    if (next === text) return;
    setText(next);
    setObject(null);
    setVerified(null);
    setRan(null);
  };
  const change = (how: VerifyOptions) => {
    setOptions(how);
    verifyIt(source, how);
  };
  const run = async () => {
    const reply = await client.ask({ kind: "run", source, packet, seeds: SEEDS });
    if (reply.kind !== "ran" && reply.kind !== "failed") return;
    setRan(reply);
    setRunAt(0);
    setFollows("run");
  };

  // No link: the address names the program that is open.
  const packetHead = useRef<HTMLHeadingElement>(null);
  const toPacket = () => {
    packetHead.current?.scrollIntoView();
    packetHead.current?.focus();
  };

  const marks = useMemo(() => {
    const lineOfSlot = verified?.kind === "verified" ? verified.lineOfSlot : [];
    const slot = follows === "run" && ran?.kind === "ran" ? ran.result.steps[runAt]?.slot : steps[at]?.insn;
    const broken =
      verified?.kind === "failed"
        ? verified.errors.map((error) => error.line)
        : verified?.verdict.insn == null
          ? []
          : [lineOfSlot[verified.verdict.insn] ?? 0];
    return { errors: broken, current: slot === undefined ? null : (lineOfSlot[slot] ?? null) };
  }, [verified, follows, ran, runAt, steps, at]);
  const isAccepted = verified?.kind === "verified" && verified.verdict.accepted;

  return (
    <>
      <h1>Verifier</h1>
      <div class="verifier">
        <div class="verifier-column">
          <section class="panel" aria-label="Program">
            <p class="control-row gallery">
              <select
                aria-label="Gallery"
                value={chosen}
                onChange={(event) => choose(galleryEntry(event.currentTarget.value))}
              >
                {chosen === "" && <option value="">a file of yours</option>}
                {GALLERY.map((group) => (
                  <optgroup key={group.title} label={group.title}>
                    {group.entries.map((entry) => (
                      <option key={entry.id} value={entry.id}>
                        {entry.title}
                      </option>
                    ))}
                  </optgroup>
                ))}
              </select>
            </p>
            <Editor text={text} marks={marks} onChange={edit} />
            <p class="control-row">
              <button type="button" class="primary" disabled={busy} onClick={() => verifyIt(source, options)}>
                Verify
              </button>
              <button type="button" onClick={toPacket}>
                To the packet ↓
              </button>
              <label>
                <input
                  type="checkbox"
                  checked={options.unprivileged ?? false}
                  onChange={(event) => change({ ...options, unprivileged: event.currentTarget.checked })}
                />{" "}
                without privileges
              </label>
              <label>
                <input
                  type="checkbox"
                  checked={options.target === "nic"}
                  onChange={(event) =>
                    change({ ...options, target: event.currentTarget.checked ? "nic" : "linux" })
                  }
                />{" "}
                for a network card
              </label>
            </p>
            <p class="control-row">
              <label>
                Object file (or drop it here):{" "}
                <input
                  type="file"
                  accept=".o"
                  onChange={(event) => openFile(event.currentTarget.files?.[0])}
                />
              </label>
              {object && object.opened.programs.length > 1 && (
                <label class="choice">
                  <span>Program</span>
                  <select
                    value={object.program}
                    onChange={(event) => openObject(object.bytes, event.currentTarget.value, options)}
                  >
                    {object.opened.programs.map(({ name }) => (
                      <option key={name}>{name}</option>
                    ))}
                  </select>
                </label>
              )}
            </p>
            <Attach source={source} reply={verified} busy={busy} />
          </section>
          <section class="panel packet-run" aria-label="Run on a packet">
            <h2 ref={packetHead} tabIndex={-1}>
              Run it on a packet
            </h2>
            <PacketEditor bytes={packet} presets={PACKETS} onChange={setPacket} />
            <p class="control-row">
              <button type="button" class="primary" disabled={!isAccepted || busy} onClick={run}>
                Run
              </button>
              <span class="why">
                {isAccepted
                  ? "Each step in the interpreter, hello in the hot map."
                  : "Only what is accepted runs."}
              </span>
            </p>
            {ran?.kind === "failed" && <p class="bad">{ran.message}</p>}
            {ran?.kind === "ran" && (
              <RunView
                result={ran.result}
                at={runAt}
                onMove={(next) => {
                  setRunAt(next);
                  setFollows("run");
                }}
              />
            )}
          </section>
        </div>
        <div class="verifier-column">
          <VerdictPanel reply={verified} busy={busy} />
          {steps.length > 0 && !busy && (
            <WalkView
              steps={steps}
              at={at}
              onMove={(next) => {
                setAt(next);
                setFollows("walk");
              }}
            />
          )}
        </div>
      </div>
    </>
  );
}
