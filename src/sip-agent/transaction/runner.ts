import type { SipRequest, SipResponse } from "#sip-agent/message/message.ts";
import { serialize } from "#sip-agent/message/serialize.ts";
import type { Clock } from "#sip-agent/ports.ts";
import type { Flow } from "#sip-agent/transport/listener.ts";
import { inviteClient } from "./invite-client.ts";
import { inviteServer } from "./invite-server.ts";
import type { Action, ClientEvent, ClientState, ServerEvent, ServerState, Setting, Timers } from "./machine.ts";
import { nonInviteClient } from "./non-invite-client.ts";
import { nonInviteServer } from "./non-invite-server.ts";
import { TimerSet } from "./timer-set.ts";

/** What a running transaction needs of its surroundings. */
export type Surroundings = {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly transmit: (bytes: Buffer, flow: Flow, onError: () => void) => void;
  readonly forget: (key: string) => void;
  readonly timedOut: () => void;
};

export type ClientHandlers = {
  readonly response: (response: SipResponse, flow: Flow) => void;
  /** No answer will come. Called at most once, and never after a final response, except that a 2xx may have gone before. */
  readonly failure: (cause: "timeout" | "transport") => void;
};

/** A client transaction: the machine, its timers and its bytes. */
export class ClientTransaction {
  readonly key: string;
  readonly request: SipRequest;
  readonly flow: Flow;
  readonly #around: Surroundings;
  readonly #handlers: ClientHandlers;
  readonly #makeAck: (response: SipResponse) => SipRequest;
  readonly #setting: Setting;
  readonly #timers: TimerSet;
  readonly #bytes: Buffer;
  #ack: Buffer | undefined;
  #state: ClientState;

  constructor(
    key: string,
    request: SipRequest,
    flow: Flow,
    handlers: ClientHandlers,
    makeAck: (response: SipResponse) => SipRequest,
    around: Surroundings,
  ) {
    this.key = key;
    this.request = request;
    this.flow = flow;
    this.#handlers = handlers;
    this.#makeAck = makeAck;
    this.#around = around;
    this.#setting = { ...around.timers, reliable: flow.listener.protocol === "tcp" };
    this.#timers = new TimerSet(around.clock, (timer) => this.#step({ type: "timer", timer }));
    this.#bytes = serialize(request);
    this.#state = { name: request.method === "INVITE" ? "calling" : "trying", repeatMs: 0 };
  }

  get state(): ClientState["name"] {
    return this.#state.name;
  }

  start(): void {
    this.#step({ type: "start" });
  }

  receive(response: SipResponse, flow: Flow): void {
    this.#step({ type: "response", status: response.status }, response, flow);
  }

  /** Ends without another word; used at stop. */
  abandon(): void {
    this.#timers.stopAll();
    this.#state = { ...this.#state, name: "terminated" };
  }

  #step(event: ClientEvent, response?: SipResponse, flow: Flow = this.flow): void {
    const machine = this.request.method === "INVITE" ? inviteClient : nonInviteClient;
    const [next, actions] = machine(this.#state, event, this.#setting);
    this.#state = next;
    for (const action of actions) this.#perform(action, response, flow);
  }

  #perform(action: Action, response: SipResponse | undefined, flow: Flow): void {
    switch (action.type) {
      case "send":
        this.#transmit(this.#bytes);
        return;
      case "acknowledge":
        if (response !== undefined) this.#ack ??= serialize(this.#makeAck(response));
        if (this.#ack !== undefined) this.#transmit(this.#ack);
        return;
      case "deliver":
        if (response !== undefined) this.#handlers.response(response, flow);
        return;
      case "start_timer":
        this.#timers.start(action.timer, action.ms);
        return;
      case "stop_timer":
        this.#timers.stop(action.timer);
        return;
      case "fail":
        if (action.cause === "timeout") this.#around.timedOut();
        this.#handlers.failure(action.cause);
        return;
      case "terminate":
        this.#timers.stopAll();
        this.#around.forget(this.key);
    }
  }

  #transmit(bytes: Buffer): void {
    this.#around.transmit(bytes, this.flow, () => this.#step({ type: "transport_error" }));
  }
}

export type ServerHandlers = {
  /** An ACK that came with the branch of an INVITE that we answered 2xx. */
  readonly ack: (ack: SipRequest, flow: Flow) => void;
  /** The final response may never have arrived. */
  readonly failure: (cause: "timeout" | "transport") => void;
};

/** A server transaction: the machine, its timers and the latest response. */
export class ServerTransaction {
  readonly key: string;
  readonly request: SipRequest;
  readonly flow: Flow;
  /** Set by the core once it has taken the request. */
  handlers: ServerHandlers = { ack: () => undefined, failure: () => undefined };
  readonly #around: Surroundings;
  readonly #setting: Setting;
  readonly #timers: TimerSet;
  #latest: Buffer | undefined;
  #state: ServerState;

  constructor(key: string, request: SipRequest, flow: Flow, around: Surroundings) {
    this.key = key;
    this.request = request;
    this.flow = flow;
    this.#around = around;
    this.#setting = { ...around.timers, reliable: flow.listener.protocol === "tcp" };
    this.#timers = new TimerSet(around.clock, (timer) => this.#step({ type: "timer", timer }));
    this.#state = { name: request.method === "INVITE" ? "proceeding" : "trying", repeatMs: 0 };
  }

  get state(): ServerState["name"] {
    return this.#state.name;
  }

  /** True while a final response may still be sent. */
  get isOpen(): boolean {
    return this.#state.name === "trying" || this.#state.name === "proceeding";
  }

  /** Sends a response, or in `accepted` a repeat of the 2xx. Returns the bytes; the machine may hold them back. */
  respond(response: SipResponse): Buffer {
    const bytes = serialize(response);
    if (this.isOpen || this.#state.name === "accepted") {
      this.#latest = bytes;
      this.#step({ type: "respond", status: response.status });
    }
    return bytes;
  }

  repeat(): void {
    this.#step({ type: "repeat" });
  }

  acknowledge(ack: SipRequest, flow: Flow): void {
    this.#step({ type: "ack" }, ack, flow);
  }

  abandon(): void {
    this.#timers.stopAll();
    this.#state = { ...this.#state, name: "terminated" };
  }

  #step(event: ServerEvent, ack?: SipRequest, flow: Flow = this.flow): void {
    const machine = this.request.method === "INVITE" ? inviteServer : nonInviteServer;
    const [next, actions] = machine(this.#state, event, this.#setting);
    this.#state = next;
    for (const action of actions) this.#perform(action, ack, flow);
  }

  #perform(action: Action, ack: SipRequest | undefined, flow: Flow): void {
    switch (action.type) {
      case "send":
        if (this.#latest !== undefined) {
          this.#around.transmit(this.#latest, this.flow, () => this.#step({ type: "transport_error" }));
        }
        return;
      case "deliver":
        if (ack !== undefined) this.handlers.ack(ack, flow);
        return;
      case "start_timer":
        this.#timers.start(action.timer, action.ms);
        return;
      case "stop_timer":
        this.#timers.stop(action.timer);
        return;
      case "fail":
        if (action.cause === "timeout") this.#around.timedOut();
        this.handlers.failure(action.cause);
        return;
      case "terminate":
        this.#timers.stopAll();
        this.#around.forget(this.key);
        return;
      case "acknowledge":
        return;
    }
  }
}
