/**
 * The service's JSON endpoints, as /openapi.json describes them. State-changing calls carry the token the
 * page got from /api/lab/session; the server refuses them without it, and from any other origin.
 */
import type { LedgerLine } from "../costs/ledger.ts";
import type { LoadSettings, ServingProgram } from "./live/snapshot.ts";
import type { Source } from "./verifier/protocol.ts";

type Place = NonNullable<ServingProgram["place"]>;

export type Session = {
  readonly token: string;
  /** Null: programs may be attached from here. */
  readonly whyNotAttach: string | null;
  /** Hooks the service has. */
  readonly places: readonly Place[];
  readonly profiles: readonly string[];
  readonly limits: {
    readonly maxRatePerSecond: number;
    readonly maxKeys: number;
    readonly maxValueBytes: number;
    readonly maxSeconds: number;
  };
};

/** One request out of many: where it was answered, and what it cost. */
export type RequestSample = {
  readonly id: number;
  readonly atMs: number;
  readonly method: string;
  readonly key: string;
  readonly status: number;
  readonly tier: "hot" | "cold";
  /** Why it crossed; null when it did not. */
  readonly crossed: string | null;
  readonly observedNs: number;
  readonly modelledNs: number;
  readonly ledger: readonly LedgerLine[];
};

let session: Promise<Session> | null = null;

/** Fetched once; fetched again after a failure, since a restarted server has a new token. */
export function getSession(): Promise<Session> {
  session ??= getJson<Session>("/api/lab/session").catch((error: unknown) => {
    session = null;
    throw error;
  });
  return session;
}

export function getSamples(): Promise<readonly RequestSample[]> {
  return getJson<readonly RequestSample[]>("/api/lab/requests");
}

export type Settings = {
  readonly offload?: "on" | "off";
  readonly profile?: string;
  readonly costsScale?: number;
};

export const changeSettings = (settings: Settings) => post("/api/lab/settings", settings);
export const startLoad = (settings: LoadSettings) => post("/api/lab/load", settings);
export const stopLoad = () => post("/api/lab/load/stop", {});
export const clearTiers = () => post("/api/lab/clear", {});
export const detachProgram = (place: Place) => post("/api/lab/detach", { place });
export const restoreProgram = (place: Place) => post("/api/lab/restore", { place });

/** @throws with what the verifier says, when it refuses */
export function attachProgram(source: Source): Promise<void> {
  const path = "/api/lab/attach";
  return source.kind === "text"
    ? send(path, "text/plain", source.text)
    : send(
        `${path}?program=${encodeURIComponent(source.program)}`,
        "application/octet-stream",
        Uint8Array.from(source.bytes),
      );
}

async function getJson<T>(path: string): Promise<T> {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return (await response.json()) as T;
}

function post(path: string, body: unknown): Promise<void> {
  return send(path, "application/json", JSON.stringify(body));
}

type Body = string | Uint8Array<ArrayBuffer>;

async function send(path: string, type: string, body: Body): Promise<void> {
  const response = await sendOnce(path, type, body);
  // The server was restarted since the page got its token: get the new one and try once more.
  const final = response.status === 403 ? await resend(path, type, body) : response;
  if (!final.ok) throw new Error(await problemOf(final));
}

async function resend(path: string, type: string, body: Body): Promise<Response> {
  session = null;
  return sendOnce(path, type, body);
}

async function sendOnce(path: string, type: string, body: Body): Promise<Response> {
  const { token } = await getSession();
  return fetch(path, { method: "POST", headers: { "content-type": type, "x-bmc-token": token }, body });
}

/** The service's own words for what was wrong. */
async function problemOf(response: Response): Promise<string> {
  const text = await response.text();
  try {
    const { message } = JSON.parse(text) as { message?: string };
    return message ?? text;
  } catch {
    return text || `the server answered ${response.status}`;
  }
}
