import type { Socket } from "node:net";
import type { ConnectionOptions } from "node:tls";
import type { Clock, Log } from "#engine/ports.ts";
import { createDrachtio, type Drachtio, type DrachtioRequestOptions } from "./drachtio.ts";
import { type Answer, type Headers, IncomingRequest, type SentRequest, toAnswer } from "./message.ts";

/** Where the SIP engine takes commands. */
export interface EngineAddress {
  readonly host: string;
  readonly port: number;
  readonly secret: string;
  readonly tls?: ConnectionOptions;
}

export interface ConnectionLimits {
  /** From the start of an attempt to the engine's welcome. */
  readonly connectTimeoutMs: number;
  /** Wait before the first new attempt; it grows by half each time. */
  readonly retryFirstMs: number;
  /** Longest wait between attempts: an engine that comes back is found within this time. */
  readonly retryMaxMs: number;
  /** How often the engine is pinged. */
  readonly pingIntervalMs: number;
  /** An engine that says nothing for so long after a ping is dead. */
  readonly pongTimeoutMs: number;
}

const usualLimits: ConnectionLimits = {
  connectTimeoutMs: 5_000,
  retryFirstMs: 250,
  retryMaxMs: 5_000,
  pingIntervalMs: 15_000,
  pongTimeoutMs: 5_000,
};

export interface SipConnectionOptions {
  readonly engine: EngineAddress;
  readonly clock: Clock;
  readonly log: Log;
  /** Methods of new requests that we want, in lower case. Requests inside our dialogs come without asking. */
  readonly methods: readonly string[];
  readonly onRequest: (request: IncomingRequest) => void;
  readonly onUp?: () => void;
  readonly onDown?: (reason: string) => void;
  readonly limits?: Partial<ConnectionLimits>;
}

export interface OutgoingRequest {
  readonly method: string;
  /** Absent inside a dialog: its remote target. */
  readonly uri?: string;
  readonly dialogId?: string;
  readonly headers?: Headers;
  readonly body?: string;
}

/** What becomes of a request that we send. `onFailed` comes instead of everything else, also at once. */
export interface OutgoingHandlers {
  readonly onSent?: (request: SentRequest) => void;
  readonly onFailed?: (reason: string) => void;
  /** Every response; 100 only from an engine that passes it on, as the embedded one does. `acknowledge` sends ACK, or PRACK for a reliable provisional response. */
  readonly onAnswer?: (answer: Answer, acknowledge: () => void) => void;
  /** An UPDATE that came while the request was open. */
  readonly onUpdate?: (request: IncomingRequest) => void;
}

/** One life of the connection. */
interface Link {
  readonly drachtio: Drachtio;
  socket?: Socket;
  /** When bytes last came, by the clock. */
  heardAt: number;
  over: boolean;
  cancelTimer: () => void;
}

/**
 * The connection to the SIP engine: made again for ever, with a fresh client each time.
 *
 * A fresh client, because the library's own reconnect keeps what the old connection left open, cannot be stopped while it
 * waits, and speaks plain TCP where the first connection was TLS.
 */
export class SipConnection {
  readonly #options: SipConnectionOptions;
  readonly #limits: ConnectionLimits;
  #link: Link | undefined;
  #up = false;
  #version = "";
  #stopped = true;
  #retryMs: number;
  #cancelRetry: () => void = () => undefined;
  #firstAttempt: (() => void) | undefined;

  constructor(options: SipConnectionOptions) {
    this.#options = options;
    this.#limits = { ...usualLimits, ...options.limits };
    this.#retryMs = this.#limits.retryFirstMs;
  }

  get ready(): boolean {
    return this.#up;
  }

  /** What the engine last said of its version; empty before. */
  get version(): string {
    return this.#version;
  }

  /** Resolves when the first attempt has succeeded or failed; the attempts go on. */
  start(): Promise<void> {
    if (!this.#stopped) return Promise.resolve();
    this.#stopped = false;
    return new Promise((resolve) => {
      this.#firstAttempt = resolve;
      this.#attempt();
    });
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#cancelRetry();
    if (this.#link !== undefined) this.#lose(this.#link, "stopped");
    this.#concludeFirst();
  }

  /** What the client still waits for; all zero when nothing is going on. */
  counters(): { readonly replies: number; readonly transactions: number; readonly invites: number } {
    const state = this.#link?.drachtio.app.client.mapServer.values().next().value;
    return {
      replies: state?.pendingRequests.size ?? 0,
      transactions: state?.pendingSipRequests.size ?? 0,
      invites: state?.pendingNetworkInvites.size ?? 0,
    };
  }

  /** Sends a request. Never throws. */
  send(request: OutgoingRequest, handlers: OutgoingHandlers = {}): void {
    const link = this.#link;
    if (!this.#up || link === undefined) {
      handlers.onFailed?.("the SIP engine is not reachable");
      return;
    }
    const options: DrachtioRequestOptions = {
      method: request.method,
      headers: { ...request.headers },
      ...(request.body === undefined ? {} : { body: request.body }),
      ...(request.dialogId === undefined ? {} : { stackDialogId: request.dialogId }),
    };
    try {
      link.drachtio.request(request.uri ?? "sip:placeholder", options, (error, sent) =>
        this.#guard("request", () => {
          if (error !== null || sent === undefined) {
            handlers.onFailed?.(error?.message ?? "the engine did not say what it sent");
            return;
          }
          sent.on("response", (response, acknowledge) =>
            this.#guard("response", () => handlers.onAnswer?.(toAnswer(response), () => attempt(acknowledge))),
          );
          sent.on("update", (update, reply) =>
            this.#guard("update", () => {
              const incoming = new IncomingRequest(update, reply);
              if (handlers.onUpdate === undefined) this.#options.onRequest(incoming);
              else handlers.onUpdate(incoming);
            }),
          );
          handlers.onSent?.({
            uri: sent.uri,
            header: (name) => sent.get(name),
            cancel: (headers) => attempt(() => sent.cancel({ headers: { ...headers } }, () => undefined)),
          });
        }),
      );
    } catch (error) {
      // The library asserts on a socket that has gone a moment ago.
      handlers.onFailed?.(`the SIP engine is not reachable: ${text(error)}`);
    }
  }

  #attempt(): void {
    const { engine, clock, methods } = this.#options;
    const drachtio = createDrachtio();
    const link: Link = { drachtio, heardAt: clock.now(), over: false, cancelTimer: () => undefined };
    this.#link = link;
    drachtio.on("error", (error) => this.#lose(link, text(error)));
    drachtio.on("close", () => this.#lose(link, "connection closed"));
    drachtio.on("connect", (error, hostports, version) => {
      if (link.over) return;
      if (error === null) this.#welcome(link, hostports, version);
      else this.#lose(link, "the engine refused our secret");
    });
    drachtio.use("*", (request, reply) =>
      this.#guard(request.method, () => this.#options.onRequest(new IncomingRequest(request, reply))),
    );
    for (const method of methods) drachtio.use(method, () => undefined);
    link.cancelTimer = clock.after(this.#limits.connectTimeoutMs, () => this.#lose(link, "no answer in time"));
    drachtio.connect({ ...engine, reconnect: { maxAttempts: 1, retryMaxDelay: this.#limits.retryMaxMs } });
    drachtio.app.client.wp.on("connect", (socket) => {
      link.socket = socket;
      if (link.over) socket.destroy();
      else this.#guardSocket(link, socket);
    });
  }

  /** The library throws out of its data listener for bytes that it does not understand; that must not end the process. */
  #guardSocket(link: Link, socket: Socket): void {
    const listeners = socket.listeners("data");
    socket.removeAllListeners("data");
    socket.on("data", (chunk: Buffer) => {
      link.heardAt = this.#options.clock.now();
      try {
        for (const listener of listeners) listener.call(socket, chunk);
      } catch (error) {
        this.#lose(link, `unintelligible: ${text(error).slice(0, 200)}`);
      }
    });
  }

  #welcome(link: Link, hostports: string | undefined, version: string | undefined): void {
    link.cancelTimer();
    this.#up = true;
    this.#version = version ?? "";
    this.#retryMs = this.#limits.retryFirstMs;
    this.#options.log.info({ contacts: hostports, version }, "sip engine connected");
    this.#ping(link);
    this.#concludeFirst();
    this.#guard("up", () => this.#options.onUp?.());
  }

  #ping(link: Link): void {
    const { clock } = this.#options;
    link.cancelTimer = clock.after(this.#limits.pingIntervalMs, () => {
      if (link.over || link.socket === undefined) return;
      const sentAt = clock.now();
      link.drachtio.app.client.wp.send(link.socket, "ping");
      link.cancelTimer = clock.after(this.#limits.pongTimeoutMs, () => {
        if (link.heardAt < sentAt) this.#lose(link, "no answer to a ping");
        else this.#ping(link);
      });
    });
  }

  #lose(link: Link, reason: string): void {
    if (link.over) return;
    link.over = true;
    link.cancelTimer();
    link.drachtio.app.client.wp.closing = true;
    link.socket?.destroy();
    const wasUp = this.#up;
    this.#up = false;
    this.#link = undefined;
    this.#concludeFirst();
    if (wasUp) this.#guard("down", () => this.#options.onDown?.(reason));
    if (this.#stopped) return;
    const facts = { reason, retry_ms: this.#retryMs };
    if (wasUp || this.#retryMs === this.#limits.retryFirstMs) this.#options.log.warn(facts, "sip engine not reachable");
    else this.#options.log.debug(facts, "sip engine still not reachable");
    this.#cancelRetry = this.#options.clock.after(this.#retryMs, () => this.#attempt());
    this.#retryMs = Math.min(this.#retryMs * 1.5, this.#limits.retryMaxMs);
  }

  #concludeFirst(): void {
    this.#firstAttempt?.();
    this.#firstAttempt = undefined;
  }

  /** A mistake of ours in a handler must not reach the library, which would take it for a broken connection. */
  #guard(what: string, run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#options.log.error(
        { what, error: text(error), stack: error instanceof Error ? error.stack : undefined },
        "sip handler failed",
      );
    }
  }
}

/** The library asserts on sockets that have gone; what it would have sent is lost with them. */
function attempt(run: () => void): boolean {
  try {
    run();
    return true;
  } catch {
    return false;
  }
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
