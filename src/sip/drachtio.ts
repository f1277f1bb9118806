import { createRequire } from "node:module";
import type { Socket } from "node:net";
import type { ConnectionOptions } from "node:tls";

/**
 * The part of drachtio-srf that ponte uses, with declarations of our own: the bundled ones lack `tls`, `enablePing` and the
 * middle layer. Of the library we take the control protocol, the message codec and the transaction objects; its dialogs are not used,
 * because they answer REFER and INFO with 200 on their own, compare SDP texts and throw on a re-INVITE without a body.
 */

/** What requests and responses have in common. */
interface DrachtioMessage {
  /** Values of several headers of one name come joined by a comma. */
  get(name: string): string | undefined;
  has(name: string): boolean;
  readonly body?: string;
  /** `network`, or `application` for what the engine made itself. */
  readonly source: string;
  readonly source_address?: string;
  readonly source_port?: number;
  readonly protocol?: string;
  readonly stackTxnId: string;
  readonly stackDialogId?: string;
}

export interface DrachtioRequest extends DrachtioMessage {
  readonly method: string;
  readonly uri: string;
  on(event: "cancel", listener: () => void): void;
  on(event: "response", listener: (response: DrachtioResponse, acknowledge: () => void) => void): void;
  on(event: "update", listener: (request: DrachtioRequest, reply: DrachtioReply) => void): void;
  removeAllListeners(): void;
  /** For a request that we have sent: CANCEL. */
  cancel(options: { headers: Record<string, string> }, sent: (error?: Error) => void): void;
}

export interface DrachtioResponse extends DrachtioMessage {
  readonly status: number;
  readonly reason?: string;
}

/** How a received request is answered. */
export interface DrachtioReply {
  readonly finished: boolean;
  send(
    status: number,
    reason: string | undefined,
    options: { headers: Record<string, string>; body?: string },
    sent: (error: unknown, message?: { get(name: string): string | undefined }) => void,
  ): void;
  /** Set when the response was sent. */
  readonly stackDialogId?: string;
}

export interface DrachtioRequestOptions {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body?: string;
  /** Next hop, where it is not the request-URI. */
  readonly proxy?: string;
  readonly stackDialogId?: string;
  uri?: string;
}

/** The framing layer below the client. */
interface DrachtioWire {
  /** Set, it neither reconnects nor reports. */
  closing?: boolean;
  on(event: "connect", listener: (socket: Socket) => void): void;
  on(event: "msg", listener: () => void): void;
  send(socket: Socket, message: string): string;
}

/** What the client remembers of one connection. */
interface DrachtioConnectionState {
  readonly pendingRequests: ReadonlyMap<string, unknown>;
  readonly pendingSipRequests: ReadonlyMap<string, unknown>;
  readonly pendingNetworkInvites: ReadonlyMap<string, unknown>;
  readonly pendingAckOrPrack: ReadonlyMap<string, unknown>;
}

export interface DrachtioClient {
  readonly wp: DrachtioWire;
  readonly mapServer: ReadonlyMap<Socket, DrachtioConnectionState>;
}

type Handler = (request: DrachtioRequest, reply: DrachtioReply) => void;

export interface Drachtio {
  readonly app: { readonly client: DrachtioClient };
  connect(options: {
    host: string;
    port: number;
    secret: string;
    tls?: ConnectionOptions;
    reconnect: { maxAttempts: number; retryMaxDelay: number };
  }): void;
  on(event: "connect", listener: (error: Error | null, hostports?: string, version?: string) => void): void;
  on(event: "error", listener: (error: Error) => void): void;
  on(event: "close", listener: () => void): void;
  /** Asks the engine for new requests of this method, in lower case. */
  use(method: string, handler: Handler): void;
  request(
    uri: string | undefined,
    options: DrachtioRequestOptions,
    sent: (error: Error | null, request?: DrachtioRequest) => void,
  ): void;
}

const require = createRequire(import.meta.url);

/** A client that is not connected yet. */
export function createDrachtio(): Drachtio {
  const Srf = require("drachtio-srf") as new () => Drachtio;
  return new Srf();
}
