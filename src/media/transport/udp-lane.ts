import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import type { AddressFamily } from "./address.ts";

/** A second of 1000 calls in both directions, if the worker is held up; the kernel may grant less. */
const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;

/** What a system says that has no such address family, or no such address. */
const NO_IPV6: ReadonlySet<string> = new Set(["EAFNOSUPPORT", "EADDRNOTAVAIL"]);

export interface LaneHandlers<T> {
  onPacket(lane: UdpLane<T>, packet: Buffer, source: RemoteInfo): void;
  onError(error: Error): void;
}

export interface LaneOptions {
  /** 0 lets the system choose. */
  readonly port: number;
  /** Addresses to bind to; undefined: no socket of this family. */
  readonly bind4: string | undefined;
  readonly bind6: string | undefined;
}

/**
 * One local UDP port, IPv4 and IPv6, and who (`T`) is known to be at which remote address. Two far ends of the same lane never
 * have the same address, as nothing but the pair of addresses tells their DTLS and SRTP packets apart (RFC 7983 §3).
 */
export class UdpLane<T> {
  readonly #handlers: LaneHandlers<T>;
  readonly #sockets: Socket[] = [];
  #socket4: Socket | undefined;
  #socket6: Socket | undefined;
  /** remote port → remote address → owner: looked up per packet without making a string. */
  readonly #owners = new Map<number, Map<string, T>>();
  #port = 0;

  constructor(handlers: LaneHandlers<T>) {
    this.#handlers = handlers;
  }

  get port(): number {
    return this.#port;
  }

  /**
   * Binds the sockets at once, so that the port is known when it returns. Throws what the system says: a port is taken. A
   * system without IPv6 is no error as long as there is IPv4.
   */
  bind(options: LaneOptions): void {
    this.#port = options.port;
    try {
      if (options.bind4 !== undefined) this.#socket4 = this.#open("udp4", options.bind4);
      if (options.bind6 !== undefined) this.#socket6 = this.#open("udp6", options.bind6);
    } catch (error) {
      if (this.#socket4 !== undefined && NO_IPV6.has((error as NodeJS.ErrnoException).code ?? "")) return;
      void this.close();
      throw error;
    }
  }

  #open(type: "udp4" | "udp6", address: string): Socket {
    const family = type === "udp6" ? 6 : 4;
    const socket = createSocket({
      type,
      ipv6Only: type === "udp6",
      recvBufferSize: SOCKET_BUFFER_BYTES,
      sendBufferSize: SOCKET_BUFFER_BYTES,
      // Addresses are literals: answering at once keeps bind and send synchronous, and saves 5 % of a packet's cost.
      lookup: (name, _options, callback) => callback(null, name, family),
    });
    this.#sockets.push(socket);
    let refused: Error | undefined;
    const refuse = (error: Error): void => {
      refused = error;
    };
    socket.on("error", refuse);
    socket.bind({ port: this.#port, address, exclusive: true });
    socket.off("error", refuse);
    socket.on("error", (error) => this.#handlers.onError(error));
    if (refused !== undefined) throw refused;
    this.#port = socket.address().port;
    socket.on("message", (packet, source) => this.#handlers.onPacket(this, packet, source));
    return socket;
  }

  reaches(family: AddressFamily): boolean {
    return (family === "ipv4" ? this.#socket4 : this.#socket6) !== undefined;
  }

  /** The first `length` bytes must stay as they are until the system took them: at once, unless its buffer is full. */
  send(packet: Buffer, length: number, address: string, port: number): void {
    const socket = address.includes(":") ? this.#socket6 : this.#socket4;
    // Without a callback a refusal by the system (no route, buffer full) loses the packet, as the network might.
    socket?.send(packet, 0, length, port, address);
  }

  ownerOf(address: string, port: number): T | undefined {
    return this.#owners.get(port)?.get(address);
  }

  own(address: string, port: number, owner: T): void {
    const atPort = this.#owners.get(port) ?? new Map<string, T>();
    this.#owners.set(port, atPort.set(address, owner));
  }

  disown(address: string, port: number, owner: T): void {
    const atPort = this.#owners.get(port);
    if (atPort?.get(address) !== owner) return;
    atPort.delete(address);
    if (atPort.size === 0) this.#owners.delete(port);
  }

  async close(): Promise<void> {
    const open = this.#sockets.splice(0);
    this.#socket4 = undefined;
    this.#socket6 = undefined;
    this.#owners.clear();
    await Promise.all(open.map((socket) => new Promise<void>((closed) => socket.close(() => closed()))));
  }
}
