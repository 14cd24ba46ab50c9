/**
 * Where Redis is, as one setting names it:
 *   redis://[USER:PASSWORD@]HOST[:PORT][/DB]                   one server
 *   redis+cluster://[USER:PASSWORD@]HOST:PORT,HOST:PORT,…      a Cluster, known by some of its nodes
 *   redis+sentinel://[USER:PASSWORD@]HOST:PORT,…/MASTER[/DB]   what the Sentinels say MASTER is
 * rediss instead of redis speaks TLS to all of them. Several hosts under plain redis:// are a Cluster too.
 */
export type Host = { readonly host: string; readonly port: number };

export type RedisAddress = {
  readonly kind: "server" | "cluster" | "sentinel";
  readonly hosts: readonly [Host, ...Host[]];
  readonly tls: boolean;
  readonly username: string | null;
  readonly password: string | null;
  readonly database: number;
  /** The name Sentinels know the master by; empty for the other kinds. */
  readonly master: string;
};

export const ADDRESS_FORMS =
  "null, redis://HOST:PORT, redis+cluster://HOST:PORT,… or redis+sentinel://HOST:PORT,…/MASTER (rediss: with TLS)";

const FORM = /^redis(s?)(?:\+(cluster|sentinel))?:\/\/(?:([^@/\s]*)@)?([^@/\s]+)(?:\/([^\s]*))?$/;
const HOST = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/;
const DEFAULT_PORT = { server: 6_379, cluster: 6_379, sentinel: 26_379 } as const;

/** @returns null for what is none of the forms */
export function parseRedisAddress(text: string): RedisAddress | null {
  const match = FORM.exec(text);
  if (match === null) return null;
  const [, secure, plus, user, list = "", path = ""] = match;
  const kind = plus === "cluster" || plus === "sentinel" ? plus : list.includes(",") ? "cluster" : "server";
  const hosts = list.split(",").map((one) => parseHost(one, DEFAULT_PORT[kind]));
  const parts = path === "" ? [] : path.split("/");
  const master = kind === "sentinel" ? decode(parts.shift() ?? "") : "";
  const [username, password] = credentials(user);
  const [database = "0", ...rest] = parts;
  // A Cluster has but one database.
  const isFit = rest.length === 0 && /^\d{1,5}$/.test(database) && (kind !== "cluster" || database === "0");
  if (!isFit || hosts.includes(null) || master === null || username === null || password === null)
    return null;
  if (kind === "sentinel" && master === "") return null;
  return {
    kind,
    hosts: hosts as [Host, ...Host[]],
    tls: secure === "s",
    username: username || null,
    password: password || null,
    database: Number(database),
    master,
  };
}

/** For people and logs. */
export function withoutPassword(url: string): string {
  return url.replace(/\/\/[^@/]*@/, "//");
}

function parseHost(text: string, defaultPort: number): Host | null {
  const match = HOST.exec(text);
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  return match === null || port > 65_535 ? null : { host: match[1] ?? match[2] ?? "", port };
}

/** Null in place of what is not percent-encoded text. */
function credentials(user: string | undefined): [string | null, string | null] {
  if (user === undefined) return ["", ""];
  const colon = user.indexOf(":");
  return colon < 0 ? [decode(user), ""] : [decode(user.slice(0, colon)), decode(user.slice(colon + 1))];
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
