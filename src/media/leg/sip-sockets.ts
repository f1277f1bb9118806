import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { isIPv6 } from "node:net";
import { PonteError } from "#core/error.ts";
import type { PacketOut } from "#media/stage/rtp-out.ts";

/** An even port whose successor is free is found within a few attempts, or the system has no ports left. */
const MAX_FREE_PORT_ATTEMPTS = 20;

/** A received datagram and where it came from. Must not throw. */
export type Receive = (packet: Buffer, from: RemoteInfo) => void;

/** The RTP port of one call towards the PBX and, next to it, its RTCP port (RFC 3550 §11). */
export class SipSockets implements PacketOut {
  readonly port: number;
  socketErrors = 0;
  readonly #rtp: Socket;
  readonly #rtcp: Socket;
  #closed = false;
  /** Where packets go; port 0 means nowhere. */
  #address = "";
  #rtpPort = 0;
  #rtcpPort = 0;

  /** Use `openSipSockets`. */
  constructor(rtp: Socket, rtcp: Socket) {
    this.#rtp = rtp;
    this.#rtcp = rtcp;
    this.port = rtp.address().port;
    // ICMP errors of a PBX that closed its port come this way; the silence checks tell of them.
    for (const socket of [rtp, rtcp]) {
      socket.on("error", () => {
        this.socketErrors += 1;
      });
    }
  }

  receive(onRtp: Receive, onRtcp: Receive): void {
    this.#rtp.on("message", onRtp);
    this.#rtcp.on("message", onRtcp);
  }

  /** From now on packets go there. The address must be a literal; port 0 means nowhere. */
  aim(address: string, rtpPort: number, rtcpPort: number): void {
    this.#address = address;
    this.#rtpPort = rtpPort;
    this.#rtcpPort = rtcpPort;
  }

  /** The packet must not be changed before it is on its way, which is at once unless the socket's buffer is full. */
  sendRtp(packet: Buffer): boolean {
    if (this.#closed || this.#rtpPort === 0) return false;
    this.#rtp.send(packet, this.#rtpPort, this.#address);
    return true;
  }

  sendRtcp(packet: Buffer): boolean {
    if (this.#closed || this.#rtcpPort === 0) return false;
    this.#rtcp.send(packet, this.#rtcpPort, this.#address);
    return true;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.all([closeSocket(this.#rtp), closeSocket(this.#rtcp)]);
  }
}

/**
 * Binds a pair of ports. With port 0 the system chooses a free even one. Rejects with PonteError `media_port_taken`.
 */
export async function openSipSockets(address: string, port: number): Promise<SipSockets> {
  let cause: unknown;
  for (let attempt = 0; attempt < (port === 0 ? MAX_FREE_PORT_ATTEMPTS : 1); attempt += 1) {
    const rtp = makeSocket(address);
    const rtcp = makeSocket(address);
    try {
      await bind(rtp, address, port);
      const chosen = rtp.address().port;
      if (chosen % 2 !== 0) throw new PonteError("media_port_taken", `RTP port ${chosen} is odd`, { retryable: true });
      await bind(rtcp, address, chosen + 1);
      return new SipSockets(rtp, rtcp);
    } catch (error) {
      cause = error;
      await Promise.all([closeSocket(rtp), closeSocket(rtcp)]);
    }
  }
  const text = `cannot bind RTP port ${port} and the next one at ${address}`;
  throw new PonteError("media_port_taken", text, { cause, retryable: true });
}

type LookUp = (
  literal: string,
  options: unknown,
  callback: (error: null, address: string, family: number) => void,
) => void;

/** Addresses are literals: nothing is looked up, and nothing waits for it. Called for every packet. */
const asIPv4: LookUp = (literal, _, callback) => callback(null, literal, 4);
const asIPv6: LookUp = (literal, _, callback) => callback(null, literal, 6);

function makeSocket(address: string): Socket {
  return isIPv6(address)
    ? createSocket({ type: "udp6", ipv6Only: true, lookup: asIPv6 })
    : createSocket({ type: "udp4", lookup: asIPv4 });
}

async function bind(socket: Socket, address: string, port: number): Promise<void> {
  const listening = once(socket, "listening");
  socket.bind({ address, port, exclusive: true });
  await listening;
}

async function closeSocket(socket: Socket): Promise<void> {
  const closed = once(socket, "close");
  socket.close();
  await closed;
}
