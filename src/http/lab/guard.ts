/**
 * Who may use the lab's endpoints. A page of another origin must neither read nor change anything: the
 * Host must be one this service is meant by (a rebound DNS name is not), an Origin must be our own, and a
 * change needs the token that only our own page can read.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import type { FastifyRequest } from "fastify";

const LOOPBACK_PEER = /^(::1|(::ffff:)?127(\.\d+){3})$/;
const PROXY_HEADERS = ["forwarded", "x-forwarded-for", "via"];
const LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"];

export class LabGuard {
  readonly token = randomBytes(24).toString("base64url");
  readonly #names: readonly string[];

  /** @param boundHost the address the service listens on, as configured */
  constructor(boundHost: string) {
    this.#names = [...LOOPBACK_NAMES, boundHost.includes(":") ? `[${boundHost}]` : boundHost];
  }

  /** @returns why the request is refused, or null */
  readProblem({ headers, socket }: FastifyRequest): string | null {
    const host = headers.host ?? "";
    const name = host.replace(/:\d+$/, "");
    const isOwnAddress = name === bracketed(socket.localAddress ?? "");
    if (!this.#names.includes(name) && !isOwnAddress) return `Host '${host}' is not this service's`;
    const { origin } = headers;
    if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`) {
      return `Origin '${origin}' is not this service's`;
    }
    const site = headers["sec-fetch-site"];
    if (site !== undefined && site !== "same-origin" && site !== "none") return `Sec-Fetch-Site is '${site}'`;
    return null;
  }

  /** Programs are exchanged by who sits at this machine: not over the network, not through a proxy on it. */
  attachProblem(request: FastifyRequest): string | null {
    const { headers, socket } = request;
    const peer = socket.remoteAddress ?? "";
    if (!LOOPBACK_PEER.test(peer))
      return `programs are attached from this machine only, and ${peer} is not it`;
    const proxy = PROXY_HEADERS.find((name) => headers[name] !== undefined);
    return proxy
      ? `programs are attached from this machine only, and '${proxy}' says it is a proxy's request`
      : null;
  }

  writeProblem(request: FastifyRequest): string | null {
    const refused = this.readProblem(request);
    if (refused !== null) return refused;
    const given = Buffer.from(String(request.headers["x-bmc-token"] ?? ""));
    const wanted = Buffer.from(this.token);
    const matches = given.length === wanted.length && timingSafeEqual(given, wanted);
    return matches
      ? null
      : "x-bmc-token is missing or not the one of this run (GET /api/lab/session tells it)";
  }
}

function bracketed(address: string): string {
  const plain = address.startsWith("::ffff:") ? address.slice(7) : address;
  return plain.includes(":") ? `[${plain}]` : plain;
}
