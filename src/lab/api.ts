/**
 * The service's JSON endpoints, as /openapi.json describes them. State-changing calls carry the token the
 * page got from /api/lab/session; the server refuses them without it, and from any other origin.
 */
import type { LedgerLine } from "../costs/ledger.ts";
import type { LoadSettings } from "./live/snapshot.ts";

export type Session = {
  readonly token: string;
  /** Started with --lab-write: programs may be attached. */
  readonly canAttach: boolean;
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

async function getJson<T>(path: string): Promise<T> {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return (await response.json()) as T;
}

async function post(path: string, body: unknown): Promise<void> {
  const response = await send(path, body);
  // The server was restarted since the page got its token: get the new one and try once more.
  const final = response.status === 403 ? await resend(path, body) : response;
  if (!final.ok) throw new Error(await problemOf(final));
}

async function resend(path: string, body: unknown): Promise<Response> {
  session = null;
  return send(path, body);
}

async function send(path: string, body: unknown): Promise<Response> {
  const { token } = await getSession();
  return fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json", "x-bmc-token": token },
    body: JSON.stringify(body),
  });
}

/** RFC 9457 problem details say what was wrong. */
async function problemOf(response: Response): Promise<string> {
  const text = await response.text();
  try {
    const { detail, title } = JSON.parse(text) as { detail?: string; title?: string };
    return detail ?? title ?? text;
  } catch {
    return text || `the server answered ${response.status}`;
  }
}
