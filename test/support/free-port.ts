import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";

/**
 * Below the ports that systems give to whoever asks for any (from 32768 on Linux, 49152 elsewhere): a free port from up there may be
 * a client's before the one it was meant for has started. Above ponte's RTP ports.
 */
const FIRST_PORT = 30_000;
const PORTS = 2_768;
/** Processes that run at the same time begin far from each other. */
const STRIDE = 61;

let next = (process.pid * STRIDE) % PORTS;

/**
 * A port of 127.0.0.1 that nobody has at the moment, neither for UDP nor for TCP, for those who must be told a port before they start,
 * or must come back on it. Everybody else binds to port 0.
 */
export async function freePort(): Promise<number> {
  for (let tried = 0; tried < PORTS; tried++) {
    const port = FIRST_PORT + next;
    next = (next + 1) % PORTS;
    if ((await isFreeForTcp(port)) && (await isFreeForUdp(port))) return port;
  }
  throw new Error(`none of ${PORTS} ports from ${FIRST_PORT} on is free`);
}

async function isFreeForTcp(port: number): Promise<boolean> {
  const server = createServer();
  try {
    await once(server.listen(port, "127.0.0.1"), "listening");
  } catch {
    return false;
  }
  server.close();
  await once(server, "close");
  return true;
}

async function isFreeForUdp(port: number): Promise<boolean> {
  const socket = createSocket("udp4");
  socket.bind(port, "127.0.0.1");
  let isFree = true;
  try {
    await once(socket, "listening");
  } catch {
    isFree = false;
  }
  socket.close();
  await once(socket, "close");
  return isFree;
}
