/**
 * The live numbers: an EventSource that reconnects by itself. A stopped server shows as stopped, and the
 * page picks up where it was when the server is back.
 */
import { computed, signal } from "@preact/signals";
import { between, type Snapshot, type Window } from "./snapshot.ts";

/** Two minutes at two a second. */
const KEEP = 240;
/** No event for this long means the server is gone even if the connection does not say so. */
const SILENCE_MS = 3_000;
/** Rates are taken over this many snapshots, so that they can be read. */
const WINDOW = 4;

export const snapshots = signal<readonly Snapshot[]>([]);
export const connection = signal<"connecting" | "live" | "stopped">("connecting");
export const latest = computed<Snapshot | null>(() => snapshots.value.at(-1) ?? null);
export const recent = computed<Window | null>(() => {
  const list = snapshots.value;
  const after = list.at(-1);
  const before = list.at(-1 - WINDOW) ?? list[0];
  return after && before && after !== before ? between(before, after) : null;
});

/** @returns a function that closes the stream */
export function open(): () => void {
  let silence: ReturnType<typeof setTimeout> | undefined;
  const source = new EventSource("/api/lab/events");
  const stopped = () => {
    connection.value = "stopped";
  };
  source.onmessage = (event: MessageEvent<string>) => {
    clearTimeout(silence);
    silence = setTimeout(stopped, SILENCE_MS);
    connection.value = "live";
    const next = JSON.parse(event.data) as Snapshot;
    const last = snapshots.value.at(-1);
    const restarted = last !== undefined && between(last, next) === null;
    snapshots.value = restarted ? [next] : [...snapshots.value.slice(1 - KEEP), next];
  };
  source.onerror = stopped;
  return () => {
    clearTimeout(silence);
    source.close();
  };
}
