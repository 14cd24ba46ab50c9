/**
 * Is this address free, and which port is it? With SO_REUSEPORT a second service of the same user would bind the
 * same port without a word and take half its connections: so it is bound once without, and let go again.
 */
import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { createServer } from "node:net";
import { Refusal } from "../exit.ts";

const PORT_TRIES = 8;

/** @param udp must the port be free for datagrams, too? @throws Refusal */
export async function claimPort(host: string, port: number, udp = false): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    try {
      const bound = await bindTcp(host, port);
      if (udp) await bindUdp(host, bound);
      return bound;
    } catch (error) {
      if (port === 0 && attempt < PORT_TRIES) continue;
      const { code, message } = error as NodeJS.ErrnoException;
      throw new Refusal(`cannot listen on ${host}:${port}: ${code ?? message}`, { cause: error });
    }
  }
}

function bindTcp(host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen({ host, port }, () => {
      const address = server.address();
      server.close(() => resolve(address !== null && typeof address === "object" ? address.port : port));
    });
  });
}

async function bindUdp(host: string, port: number): Promise<void> {
  const { address, family } = await lookup(host === "" ? "::" : host);
  await new Promise<void>((resolve, reject) => {
    const socket = createSocket(family === 6 ? "udp6" : "udp4");
    socket.once("error", reject);
    socket.bind({ address, port, exclusive: true }, () => socket.close(() => resolve()));
  });
}
