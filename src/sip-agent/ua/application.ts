import type { SipMessage } from "#sip-agent/message/message.ts";
import type { Address, Protocol } from "#sip-agent/transport/address.ts";

/** A SIP message on its way to an application. */
export type Delivery = {
  /** Who caused it: a message from the peer, or one that the agent made on its own. */
  readonly source: "network" | "application";
  readonly message: SipMessage;
  /** Bytes on the wire; 0 for a response that the agent made up (408, 503). */
  readonly size: number;
  readonly protocol: Protocol;
  /** The peer, if there was one. */
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
  readonly bytes: Buffer;
  readonly protocol: Protocol;
  readonly address: Address;
  readonly transactionId: string;
  /** Responses only. */
  readonly dialogId: string;
};

export type Reply = (verdict: Verdict) => void;

/** An application, as the core sees it: one authenticated control connection. */
export interface Application {
  /** False once the connection is gone. */
  readonly alive: boolean;
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
