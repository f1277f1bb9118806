import type { SipMessage } from "#sip-agent/message/message.ts";
import type { Address, Protocol } from "#sip-agent/transport/address.ts";
import type { Flow } from "#sip-agent/transport/listener.ts";

/** A SIP message on its way to an application. */
export type Delivery = {
  /** Who caused it: a message from the peer, or one that the agent made on its own. */
  readonly source: "network" | "application";
  readonly message: SipMessage;
  readonly protocol: Protocol;
  /** The peer; absent for a response that was never on the wire, because the agent made it up (408, 503). */
  readonly remote?: Address;
  readonly transactionId: string;
  /** Empty for a request outside a dialog. */
  readonly dialogId: string;
  /** The local address that a new request came in on. */
  readonly receivedOn?: Address;
};

/** What became of a message that an application asked us to send. */
export type Verdict =
  | { readonly ok: true; readonly echo: Echo }
  /** A reason in words, as the control protocol gives it. */
  | { readonly ok: false; readonly reason: string };

export type Echo = {
  /** As it went out. */
  readonly message: SipMessage;
  readonly protocol: Protocol;
  readonly address: Address;
  readonly transactionId: string;
  /** Responses only. */
  readonly dialogId: string;
};

/** A message that came over `flow`. */
export function fromNetwork(message: SipMessage, flow: Flow, transactionId: string, dialogId: string): Delivery {
  const { protocol } = flow.listener;
  return { source: "network", message, protocol, remote: flow.remote, transactionId, dialogId };
}

/** A new request, which also says where it was received. */
export function newFromNetwork(message: SipMessage, flow: Flow, transactionId: string): Delivery {
  const receivedOn = { host: flow.listener.local(flow.remote.host), port: flow.listener.bound.port };
  return { ...fromNetwork(message, flow, transactionId, ""), receivedOn };
}

export type Reply = (verdict: Verdict) => void;

/** An application, as the core sees it: one authenticated control connection. */
export interface Application {
  /** False once the connection is gone. */
  readonly alive: boolean;
  /** Whether it asked for the 100 of its INVITEs: applications of this protocol do not expect them. */
  readonly wantsTrying: boolean;
  deliver(delivery: Delivery): void;
}

/** The applications that asked for new requests of a method. */
export interface Applications {
  /** The next one in turn. */
  next(method: string): Application | undefined;
}

/** The transaction identifier of requests that the agent sent on its own account. */
export const UNSOLICITED = "unsolicited";

export function refusal(reason: string): Verdict {
  return { ok: false, reason };
}

export const UNKNOWN_DIALOG = refusal("Server error: unable to find dialog for dialog id provided");
