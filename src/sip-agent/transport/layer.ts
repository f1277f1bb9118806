import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer, isIPv6, type Server, type Socket } from "node:net";
import type { Counters } from "#sip-agent/counters.ts";
import { formatHostPort, normalizeAddress } from "#sip-agent/message/uri.ts";
import type { Clock, Log } from "#sip-agent/ports.ts";
import { type Address, isWildcard, type Protocol } from "./address.ts";
import { chooseListener, type Flow, Listener, type ListenerOptions } from "./listener.ts";
import { TcpConnection } from "./tcp-connection.ts";

export type TransportOptions = {
  readonly udp: readonly ListenerOptions[];
  readonly tcp: readonly ListenerOptions[];
  readonly isPeer: (host: string) => boolean;
  readonly maxMessageBytes: number;
  readonly maxConnections: number;
  readonly connectTimeoutMs: number;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly log: Log;
};

const DEFAULT_HOST = "127.0.0.1";

/** The SIP sockets: bytes in and out, with the flow they belong to (RFC 3261 §18). Knows nothing of SIP but its framing. */
export class TransportLayer {
  readonly #options: TransportOptions;
  readonly #listeners: Listener[] = [];
  readonly #udp = new Map<Listener, UdpSocket>();
  readonly #servers: Server[] = [];
  /** By remote `host:port`, for reuse; a connection that a peer opened is kept under its source. */
  readonly #connections = new Map<string, TcpConnection>();
  #receive: (bytes: Buffer, flow: Flow) => void = () => undefined;
  #stopped = false;

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  get listeners(): readonly Listener[] {
    return this.#listeners;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  async start(receive: (bytes: Buffer, flow: Flow) => void): Promise<void> {
    this.#receive = receive;
    for (const listener of this.#options.udp) await this.#bindUdp(listener);
    for (const listener of this.#options.tcp) await this.#bindTcp(listener);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const connection of [...this.#connections.values()]) connection.destroy();
    const udp = [...this.#udp.values()].map((socket) => new Promise<void>((done) => socket.close(() => done())));
    const tcp = this.#servers.map((server) => new Promise<void>((done) => server.close(() => done())));
    this.#udp.clear();
    await Promise.all([...udp, ...tcp]);
  }

  choose(protocol: Protocol, remote: string): Listener | undefined {
    return chooseListener(this.#listeners, protocol, remote);
  }

  /** True if a request on that flow would come back to us. */
  isOwn(flow: Flow): boolean {
    const address = flow.remote;
    return this.#listeners.some((listener) => {
      if (listener.protocol !== flow.listener.protocol || listener.bound.port !== address.port) return false;
      const { host } = listener.bound;
      return (
        listener.advertised().host === address.host ||
        (isWildcard(host) ? listener.local(address.host) : host) === address.host
      );
    });
  }

  /** Sends one message. `onError` is called later and at most once; over UDP most losses stay unnoticed. */
  send(bytes: Buffer, flow: Flow, onError: (error: Error) => void): void {
    if (flow.listener.protocol === "tcp") this.#sendTcp(bytes, flow, onError);
    else this.#sendUdp(bytes, flow, onError);
  }

  #sendUdp(bytes: Buffer, flow: Flow, onError: (error: Error) => void): void {
    const socket = this.#udp.get(flow.listener);
    if (socket === undefined) {
      queueMicrotask(() => onError(new Error("socket closed")));
      return;
    }
    const { host, port } = flow.remote;
    try {
      // An IPv4 target of a dual-stack socket needs its mapped form.
      const target = flow.listener.bound.host === "::" && !isIPv6(host) ? `::ffff:${host}` : host;
      socket.send(bytes, port, target, (error) => {
        if (error !== null) onError(error);
      });
    } catch (error) {
      // Node throws for a port of 0 and the like; to the caller that is an unreachable peer.
      queueMicrotask(() => onError(error instanceof Error ? error : new Error(String(error))));
    }
  }

  #sendTcp(bytes: Buffer, flow: Flow, onError: (error: Error) => void): void {
    if (flow.connection?.usable) {
      flow.connection.send(bytes, onError);
      return;
    }
    const remote = flow.fallback ?? flow.remote;
    const known = this.#connections.get(formatHostPort(remote.host, remote.port));
    const connection = known?.usable ? known : this.#connect(flow.listener, remote);
    if (connection === undefined) queueMicrotask(() => onError(new Error("too many connections")));
    else connection.send(bytes, onError);
  }

  #connect(listener: Listener, remote: Address): TcpConnection | undefined {
    if (this.#stopped || this.#connections.size >= this.#options.maxConnections) return undefined;
    const { clock, connectTimeoutMs } = this.#options;
    const localAddress = isWildcard(listener.bound.host) ? undefined : listener.bound.host;
    const socket = connect({
      host: remote.host,
      port: remote.port,
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    const timer = clock.setTimeout(() => socket.destroy(new Error("connect timed out")), connectTimeoutMs);
    socket.once("connect", () => clock.clearTimeout(timer));
    socket.once("close", () => clock.clearTimeout(timer));
    return this.#adopt(socket, listener, remote);
  }

  #adopt(socket: Socket, listener: Listener, remote: Address): TcpConnection {
    const key = formatHostPort(remote.host, remote.port);
    const connection = new TcpConnection(socket, this.#options.maxMessageBytes, {
      message: (bytes, from) => this.#receive(bytes, { listener, remote, connection: from }),
      closed: (gone, overflow) => {
        if (overflow) this.#options.counters.add("streams_overflowed");
        if (this.#connections.get(key) === gone) this.#connections.delete(key);
      },
    });
    this.#connections.set(key, connection);
    return connection;
  }

  async #bindUdp(options: ListenerOptions): Promise<void> {
    const host = options.host ?? DEFAULT_HOST;
    const socket = createSocket({ type: isIPv6(host) ? "udp6" : "udp4" });
    const bound = once(socket, "listening");
    socket.bind({ port: options.port, address: host, exclusive: true });
    try {
      await bound;
    } catch (error) {
      socket.close();
      throw error;
    }
    const listener = new Listener("udp", { host, port: socket.address().port }, options.externalAddress);
    socket.on("error", (error) => this.#options.log.warn({ err: error, host }, "sip udp socket error"));
    socket.on("message", (bytes, from) => {
      this.#receive(bytes, { listener, remote: { host: normalizeAddress(from.address), port: from.port } });
    });
    this.#listeners.push(listener);
    this.#udp.set(listener, socket);
  }

  async #bindTcp(options: ListenerOptions): Promise<void> {
    const host = options.host ?? DEFAULT_HOST;
    const server = createServer();
    const listening = once(server, "listening");
    server.listen({ port: options.port, host, exclusive: true });
    await listening;
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : options.port;
    const listener = new Listener("tcp", { host, port }, options.externalAddress);
    server.on("error", (error) => this.#options.log.warn({ err: error, host }, "sip tcp server error"));
    server.on("connection", (socket) => this.#accept(socket, listener));
    this.#listeners.push(listener);
    this.#servers.push(server);
  }

  #accept(socket: Socket, listener: Listener): void {
    const remote = { host: normalizeAddress(socket.remoteAddress ?? ""), port: socket.remotePort ?? 0 };
    // A stranger has no business on our port: responses come on connections that we opened, or from peers.
    const refused = !this.#options.isPeer(remote.host)
      ? "strangers_dropped"
      : this.#connections.size >= this.#options.maxConnections
        ? "connections_refused"
        : undefined;
    if (refused === undefined) {
      this.#adopt(socket, listener, remote);
      return;
    }
    this.#options.counters.add(refused);
    socket.on("error", () => this.#options.log.debug({ remote: remote.host }, "refused sip connection failed"));
    socket.destroy();
  }
}
