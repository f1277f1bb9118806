import type { Counters } from "#sip-agent/counters.ts";
import { Headers } from "#sip-agent/message/headers.ts";
import { NO_BODY, reasonOf, type SipRequest, type SipResponse } from "#sip-agent/message/message.ts";
import { serialize } from "#sip-agent/message/serialize.ts";
import { parseCSeq } from "#sip-agent/message/values.ts";
import type { Clock, Log } from "#sip-agent/ports.ts";
import type { Flow } from "#sip-agent/transport/listener.ts";
import { clientKey, serverKey } from "./keys.ts";
import type { Timers } from "./machine.ts";
import { type ClientHandlers, ClientTransaction, ServerTransaction, type Surroundings } from "./runner.ts";

export type TransactionOptions = {
  readonly clock: Clock;
  readonly timers: Timers;
  /** Most transactions of both kinds at once; beyond it new requests get 503. */
  readonly maxTransactions: number;
  readonly send: (bytes: Buffer, flow: Flow, onError: (error: Error) => void) => void;
  readonly counters: Counters;
  readonly log: Log;
};

/** What the transaction layer tells the core. */
export type Core = {
  readonly request: (transaction: ServerTransaction) => void;
  /** `invite` is the transaction that the CANCEL matches, `cancel` its own. */
  readonly cancel: (cancel: ServerTransaction, invite: ServerTransaction | undefined) => void;
  /** An ACK that belongs to no failed INVITE, so it is for a 2xx. */
  readonly ack: (request: SipRequest, flow: Flow) => void;
};

/** Seconds after which a caller that met an overload may try again (RFC 3261 §20.33). */
const RETRY_AFTER_S = 5;

/** Sorts messages into transactions (RFC 3261 §17) and bounds their number. */
export class TransactionLayer {
  readonly #options: TransactionOptions;
  readonly #clients = new Map<string, ClientTransaction>();
  readonly #servers = new Map<string, ServerTransaction>();
  readonly #clientSurroundings: Surroundings;
  readonly #serverSurroundings: Surroundings;
  #core: Core | undefined;

  constructor(options: TransactionOptions) {
    this.#options = options;
    const common = {
      clock: options.clock,
      timers: options.timers,
      transmit: (bytes: Buffer, flow: Flow, onError: () => void) => this.#transmit(bytes, flow, onError),
      timedOut: () => options.counters.add("transactions_timed_out"),
    };
    this.#clientSurroundings = { ...common, forget: (key) => this.#clients.delete(key) };
    this.#serverSurroundings = { ...common, forget: (key) => this.#servers.delete(key) };
  }

  get size(): number {
    return this.#clients.size + this.#servers.size;
  }

  attach(core: Core): void {
    this.#core = core;
  }

  stop(): void {
    for (const transaction of [...this.#clients.values(), ...this.#servers.values()]) transaction.abandon();
    this.#clients.clear();
    this.#servers.clear();
  }

  receiveResponse(response: SipResponse, flow: Flow): void {
    const transaction = this.#clients.get(clientKey(response));
    if (transaction === undefined) this.#options.counters.add("responses_unmatched");
    else transaction.receive(response, flow);
  }

  receiveRequest(request: SipRequest, flow: Flow): void {
    if (request.method === "ACK") {
      this.#receiveAck(request, flow);
      return;
    }
    const key = serverKey(request);
    const known = this.#servers.get(key);
    if (known !== undefined) {
      this.#options.counters.add("requests_repeated");
      known.repeat();
      return;
    }
    if (this.size >= this.#options.maxTransactions) {
      this.refuse(request, flow, 503);
      return;
    }

    this.#options.counters.add("requests_received");
    const transaction = new ServerTransaction(key, request, flow, this.#serverSurroundings);
    this.#servers.set(key, transaction);
    if (request.method === "CANCEL") {
      this.#core?.cancel(transaction, this.#servers.get(serverKey(request, "INVITE")));
    } else this.#core?.request(transaction);
  }

  /** Answers without keeping any state. */
  refuse(request: SipRequest, flow: Flow, status: number): void {
    this.#options.counters.add("requests_refused");
    const response = responseTo(request, status);
    if (status === 503) response.headers.set("Retry-After", String(RETRY_AFTER_S));
    this.#transmit(serialize(response), flow, () => undefined);
  }

  /** Sends a request in a new transaction. The topmost Via must hold a fresh branch. */
  request(request: SipRequest, flow: Flow, handlers: ClientHandlers): ClientTransaction {
    const key = clientKey(request);
    this.#options.counters.add("requests_sent");
    const makeAck = (response: SipResponse) => failureAck(request, response);
    const transaction = new ClientTransaction(key, request, flow, handlers, makeAck, this.#clientSurroundings);
    this.#clients.set(key, transaction);
    transaction.start();
    return transaction;
  }

  /** True if one more request may be sent. */
  get hasRoom(): boolean {
    return this.size < this.#options.maxTransactions;
  }

  /** Sends something that has no transaction: the ACK for a 2xx. */
  sendStateless(message: SipRequest, flow: Flow): Buffer {
    const bytes = serialize(message);
    this.#transmit(bytes, flow, () => undefined);
    return bytes;
  }

  #receiveAck(ack: SipRequest, flow: Flow): void {
    const invite = this.#servers.get(serverKey(ack, "INVITE"));
    if (invite === undefined) this.#core?.ack(ack, flow);
    else invite.acknowledge(ack, flow);
  }

  #transmit(bytes: Buffer, flow: Flow, onError: () => void): void {
    this.#options.send(bytes, flow, (error) => {
      this.#options.counters.add("transport_errors");
      this.#options.log.debug({ err: error, remote: flow.remote.host }, "sip message not sent");
      onError();
    });
  }
}

/** A response with what has to be copied from the request (RFC 3261 §8.2.6.2). */
export function responseTo(request: SipRequest, status: number, reason: string = reasonOf(status)): SipResponse {
  const headers = new Headers();
  for (const name of ["Via", "From", "To", "Call-ID", "CSeq"]) {
    for (const value of request.headers.all(name)) headers.add(name, value);
  }
  const timestamp = request.headers.get("Timestamp");
  if (status === 100 && timestamp !== undefined) headers.add("Timestamp", timestamp);
  return { kind: "response", status, reason, headers, body: NO_BODY };
}

/** The ACK for a 300–699: same branch, same route, To of the response (RFC 3261 §17.1.1.3). */
function failureAck(invite: SipRequest, response: SipResponse): SipRequest {
  const headers = new Headers();
  headers.add("Via", invite.headers.list("Via")[0] ?? "");
  for (const route of invite.headers.all("Route")) headers.add("Route", route);
  headers.add("Max-Forwards", "70");
  headers.add("From", invite.headers.get("From") ?? "");
  headers.add("To", response.headers.get("To") ?? invite.headers.get("To") ?? "");
  headers.add("Call-ID", invite.headers.get("Call-ID") ?? "");
  headers.add("CSeq", `${parseCSeq(invite.headers.get("CSeq"))?.number ?? 1} ACK`);
  return { kind: "request", method: "ACK", uri: invite.uri, headers, body: NO_BODY };
}
