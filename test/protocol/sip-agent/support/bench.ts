import { once } from "node:events";
import { createRequire } from "node:module";
import type { Socket } from "node:net";
import { SipAgent, type SipAgentOptions } from "#sip-agent/agent.ts";
import { ManualClock } from "./clock.ts";
import { TcpPeer, UdpPeer } from "./peer.ts";

/** The parts of drachtio-srf that the tests use; the bundled types are incomplete. */
export interface Msg {
  readonly method: string;
  readonly uri: string;
  readonly status: number;
  readonly reason: string;
  readonly body: string;
  readonly source: string;
  readonly stackDialogId: string;
  get(name: string): string;
  has(name: string): boolean;
  on(event: string, listener: (...args: never[]) => void): void;
  cancel(options?: object, callback?: (error: unknown, request: Msg) => void): void;
}

export interface Reply {
  send(
    status: number,
    options?: object,
    callback?: (error: unknown, sent: Msg) => void,
    prack?: (prack: Msg) => void,
  ): void;
}

export interface SrfDialog {
  readonly id: string;
  readonly sip: { readonly callId: string; readonly localTag: string; readonly remoteTag: string };
  readonly local: { readonly sdp: string };
  readonly remote: { readonly sdp: string; readonly uri: string };
  destroy(options?: object): Promise<Msg>;
  modify(sdp: string): Promise<string>;
  request(options: object): Promise<Msg>;
  on(event: string, listener: (...args: never[]) => void): void;
}

type UacEvents = { cbRequest?: (error: unknown, request: Msg) => void; cbProvisional?: (response: Msg) => void };

export interface Srf {
  connect(options: object): void;
  disconnect(): void;
  on(event: string, listener: (...args: never[]) => void): void;
  use(method: string, handler: (request: Msg, reply: Reply) => void): void;
  invite(handler: (request: Msg, reply: Reply) => void): void;
  createUAS(request: Msg, reply: Reply, options: object): Promise<SrfDialog>;
  createUAC(uri: string, options: object, events?: UacEvents): Promise<SrfDialog>;
  request(uri: string, options: object, callback: (error: unknown, request: Msg) => void): void;
  readonly _app: { readonly client: { readonly idle: boolean; readonly mapServer: Map<Socket, unknown> } };
}

const require = createRequire(import.meta.url);

export const SECRET = "s3cret";
export const SDP =
  "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

/** One agent on free ports of the loopback, with a clock that stands still, and what a test hangs on it. */
export class Bench {
  readonly clock = new ManualClock();
  readonly agent: SipAgent;
  readonly #closers: (() => Promise<void> | void)[] = [];
  #control = 0;
  #udp = 0;
  #tcp = 0;

  private constructor(options: Partial<SipAgentOptions>) {
    this.agent = new SipAgent({
      control: { secret: SECRET },
      udp: [{ port: 0 }],
      tcp: [{ port: 0 }],
      peers: ["127.0.0.1"],
      clock: this.clock,
      ...options,
    });
  }

  static async start(options: Partial<SipAgentOptions> = {}): Promise<Bench> {
    const bench = new Bench(options);
    const addresses = await bench.agent.start();
    bench.#control = addresses.control.port;
    bench.#udp = addresses.sip.find((one) => one.protocol === "udp")?.port ?? 0;
    bench.#tcp = addresses.sip.find((one) => one.protocol === "tcp")?.port ?? 0;
    return bench;
  }

  get control(): number {
    return this.#control;
  }

  get udp(): number {
    return this.#udp;
  }

  get tcp(): number {
    return this.#tcp;
  }

  /** A drachtio-srf that has authenticated. Handlers have to be set by `prepare`, before it connects. */
  async app(prepare: (srf: Srf) => void = () => undefined, options: object = {}): Promise<Srf> {
    const Class = require("drachtio-srf") as new () => Srf;
    const srf = new Class();
    srf.on("error", () => undefined);
    prepare(srf);
    const connected = new Promise<void>((done, fail) => {
      srf.on("connect", (error: Error | null) => (error === null ? done() : fail(error)));
    });
    srf.connect({ host: "127.0.0.1", port: this.#control, secret: SECRET, ...options });
    this.#closers.push(() => this.disconnect(srf));
    await connected;
    await this.routed(srf);
    return srf;
  }

  /** Routes are sent right behind the secret; waits until all of them are answered. */
  async routed(srf: Srf): Promise<void> {
    await this.settle(() => {
      const states = [...srf._app.client.mapServer.values()];
      return states.length > 0 && states.every((state) => pendingOf(state) === 0);
    });
  }

  disconnect(srf: Srf): void {
    try {
      srf.disconnect();
    } catch {
      // It was never connected, or the connection is gone already.
    }
    for (const socket of srf._app.client.mapServer.keys()) socket.destroy();
  }

  async udpPeer(): Promise<UdpPeer> {
    const peer = await UdpPeer.open(this.#udp);
    this.#closers.push(() => peer.close());
    return peer;
  }

  /** `connected`: opens a connection to the agent; otherwise it waits for one. */
  async tcpPeer(connected: boolean): Promise<TcpPeer> {
    const peer = await TcpPeer.open();
    this.#closers.push(() => peer.close());
    if (connected) await peer.connect(this.#tcp);
    return peer;
  }

  /** Waits until something that is under way has happened. */
  async settle(done: () => boolean): Promise<void> {
    const end = Date.now() + 8_000;
    while (!done()) {
      if (Date.now() > end) throw new Error("it did not happen");
      await new Promise((next) => setTimeout(next, 2));
    }
  }

  /** Fails if the agent leaves a timer, a connection or a dialog behind. */
  async stop(): Promise<void> {
    await this.agent.stop();
    await this.agent.stop();
    for (const close of this.#closers.reverse()) await close();
    const { connections, clients, dialogs, transactions, pending } = this.agent.counters();
    const left = { timers: this.clock.pending, connections, clients, dialogs, transactions, pending };
    if (Object.values(left).some((count) => count > 0)) throw new Error(`left over: ${JSON.stringify(left)}`);
  }
}

function pendingOf(state: unknown): number {
  const pending = (state as { pendingRequests: Map<string, unknown> }).pendingRequests;
  return pending.size;
}

export function response(request: Msg): Promise<Msg> {
  return new Promise((resolve) =>
    request.on("response", (answer: Msg) => {
      if (answer.status >= 200) resolve(answer);
    }),
  );
}

export { once };
