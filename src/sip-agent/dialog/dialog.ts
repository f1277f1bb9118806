import type { Flow } from "#sip-agent/transport/listener.ts";
import type { Application } from "#sip-agent/ua/application.ts";
import type { ReceivedInvite } from "#sip-agent/ua/received-invite.ts";
import type { SentInvite } from "#sip-agent/ua/sent-invite.ts";
import type { SessionTimer } from "./session-timer.ts";

/** What is fixed when a dialog begins. Header values are as they stand in our requests. */
export type DialogFacts = {
  /** The identifier in the control protocol: `CALLID;from-tag=TAG`. Forks share it. */
  readonly id: string;
  readonly role: "uac" | "uas";
  /** The request that made it. */
  readonly method: "INVITE" | "SUBSCRIBE";
  readonly callId: string;
  readonly localTag: string;
  readonly remoteTag: string;
  /** Our From, with tag. */
  readonly local: string;
  /** Our To, with the peer's tag. */
  readonly remote: string;
};

/** A SIP dialog (RFC 3261 §12): facts, and what changes while it lives. */
export class Dialog {
  readonly facts: DialogFacts;
  state: "early" | "confirmed" | "ended" = "early";
  /** The application that gets what arrives in it. */
  owner: Application;
  /** Our latest Contact, header value. */
  contact: string;
  /** The peer's Contact URI. */
  remoteTarget: string;
  routeSet: readonly string[];
  /** Where its last target refresh came from. */
  flow: Flow;
  /** CSeq of our latest request. */
  localSeq: number;
  /** CSeq of the peer's latest request, once there was one. */
  remoteSeq: number | undefined;
  /** The open INVITE of either side; at most one each. */
  sentInvite: SentInvite | undefined;
  receivedInvite: ReceivedInvite | undefined;
  /** An UPDATE with an offer that waits for its answer, by direction (RFC 3311 §5.2). */
  openUpdate: "sent" | "received" | undefined;
  /** Our last session description, repeated when we refresh the session. */
  localSdp: Buffer | undefined;
  /** RSeq of the last reliable provisional response that we took (RFC 3262 §4). */
  remoteRSeq: number | undefined;
  sessionTimer: SessionTimer | undefined;
  /** The peer's latest Allow has UPDATE. */
  peerTakesUpdate = false;

  constructor(
    facts: DialogFacts,
    owner: Application,
    start: Pick<Dialog, "contact" | "remoteTarget" | "routeSet" | "flow" | "localSeq" | "remoteSeq">,
  ) {
    this.facts = facts;
    this.owner = owner;
    this.contact = start.contact;
    this.remoteTarget = start.remoteTarget;
    this.routeSet = start.routeSet;
    this.flow = start.flow;
    this.localSeq = start.localSeq;
    this.remoteSeq = start.remoteSeq;
  }

  get id(): string {
    return this.facts.id;
  }
}

export function dialogId(callId: string, fromTag: string): string {
  return `${callId};from-tag=${fromTag}`;
}
