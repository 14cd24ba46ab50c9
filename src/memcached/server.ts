/**
 * One memcached service: TCP and UDP on the same address and port, over one cache. UDP answers are larger
 * than their requests and go to whatever address the request names, so a public UDP port is a weapon for
 * others: anything but loopback needs `allowPublicUdp`.
 */
import { lookup } from "node:dns/promises";
import { BlockList } from "node:net";
import { Engine, type EngineOptions } from "./engine.ts";
import { TcpServer } from "./tcp-server.ts";
import { UdpServer } from "./udp-server.ts";

export type MemcachedOptions = EngineOptions & {
  readonly host: string;
  /** 0 = any port free for both protocols. */
  readonly port: number;
  readonly allowPublicUdp?: boolean;
  /** memcached's -c. */
  readonly maxConnections?: number;
  readonly idleTimeoutMs?: number;
  /** Do other workers bind the same port (SO_REUSEPORT)? */
  readonly reusePort?: boolean;
};

/** The address asked for would open UDP to the network. */
export class PublicUdpRefused extends Error {
  readonly code = "PUBLIC_UDP_REFUSED";
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

/** Ports tried when any will do: the one TCP gets may be taken for UDP. */
const PORT_TRIES = 8;

export class MemcachedServer {
  readonly engine: Engine;
  readonly tcp: TcpServer;
  readonly udp: UdpServer;
  readonly host: string;
  readonly port: number;

  private constructor(engine: Engine, tcp: TcpServer, udp: UdpServer, host: string, port: number) {
    this.engine = engine;
    this.tcp = tcp;
    this.udp = udp;
    this.host = host;
    this.port = port;
  }

  /**
   * @throws PublicUdpRefused for an address other machines can reach, unless it is allowed
   * @throws the bind's own error (EADDRINUSE, EACCES, EADDRNOTAVAIL)
   */
  static async listen(options: MemcachedOptions): Promise<MemcachedServer> {
    const { address, family } = await lookup(options.host === "" ? "::" : options.host);
    const isLoopback = LOOPBACK.check(address, family === 6 ? "ipv6" : "ipv4");
    if (!isLoopback && options.allowPublicUdp !== true) {
      throw new PublicUdpRefused(
        `memcached's UDP port on ${address} could be reached from other machines, and used to flood third parties. Bind a loopback address such as 127.0.0.1, or say --allow-public-udp if a firewall guards it.`,
      );
    }
    const engine = new Engine(options);
    const maxConnections = options.maxConnections ?? 1024;
    const idleTimeoutMs = options.idleTimeoutMs ?? 0;
    const reusePort = options.reusePort ?? false;
    for (let attempt = 1; ; attempt++) {
      const tcp = new TcpServer(engine, { maxConnections, idleTimeoutMs });
      await tcp.listen(address, options.port, reusePort);
      const bound = tcp.server.address();
      const port = typeof bound === "object" && bound ? bound.port : options.port;
      const udp = new UdpServer(engine, family === 6 ? "udp6" : "udp4", reusePort);
      try {
        await udp.bind(address, port);
      } catch (error) {
        await tcp.close();
        if (options.port === 0 && attempt < PORT_TRIES) continue;
        throw error;
      }
      Object.assign(engine.settings, {
        maxconns: maxConnections,
        tcpport: port,
        udpport: port,
        inter: address,
        idle_timeout: Math.ceil(idleTimeoutMs / 1000),
      });
      return new MemcachedServer(engine, tcp, udp, address, port);
    }
  }

  async close(): Promise<void> {
    // What several workers share outlives any of them.
    if (this.engine.peers === null) this.engine.cancelFlush();
    await Promise.all([this.tcp.close(), this.udp.close()]);
  }
}
