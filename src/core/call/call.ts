import type { Disposition } from "./disposition.ts";
import type { Evidence } from "./evidence.ts";

/** Milliseconds since the Unix epoch, as the engine's clock tells them. */
export type Instant = number;

/** RFC 4235 §3.7.1, for both kinds of leg. */
export type LegState = "trying" | "proceeding" | "early" | "confirmed" | "terminated";

/** `a` came in, `b` is the one that ponte placed. */
export type Side = "a" | "b";

/** Who calls. A caller with a user name may have no phone number, only a business-scoped user id (BSUID). */
export interface Caller {
  /** Digits without `+`, as Meta gives them. */
  readonly number?: string;
  /** Business-scoped user id, such as `BR.13491208655302741918`. */
  readonly userId?: string;
  readonly profileName?: string;
  readonly username?: string;
}

/** What Meta's connect webhook says about a user-initiated call. */
export interface Offer {
  /** Meta's call id, `wacid.…`: opaque, and personal data. */
  readonly wacid: string;
  readonly channelId: string;
  readonly caller: Caller;
  /** The business number that was dialled, digits. */
  readonly calledNumber: string;
  /** The SDP offer, unparsed. */
  readonly sdp: string;
  /** Meta's `timestamp` of the event. */
  readonly offeredAt: Instant;
  readonly ctaPayload?: string;
  readonly deeplinkPayload?: string;
}

/** Where a call goes. */
export type Route =
  | { readonly handler: "bridge"; readonly trunk: string; readonly target: string }
  | { readonly handler: "reject"; readonly reason: RejectReason };

/** Why ponte does not take a call. */
export type RejectReason =
  | "calling_disabled"
  | "channel_unknown"
  | "handler_reject"
  | "draining"
  | "at_capacity"
  | "trunk_unreachable"
  | "no_common_codec"
  | "bad_offer"
  | "database_unavailable";

/** The time limits of one call, in milliseconds; see the configuration for their reasons. */
export interface CallLimits {
  /** An offer older than this is not answered at all: Meta has given it up. */
  readonly staleAfterMs: number;
  /** From Meta's timestamp to our accept. */
  readonly answerBudgetMs: number;
  /** From INVITE to the PBX's final response. */
  readonly ringTimeoutMs: number;
  /** From the PBX's 200 to ICE and DTLS being up. */
  readonly mediaTimeoutMs: number;
}

interface Base {
  readonly id: string;
  readonly offer: Offer;
  readonly receivedAt: Instant;
  readonly limits: CallLimits;
  readonly evidence: Evidence;
}

/** What Meta's terminate webhook tells, whoever hung up. */
export interface MetaSummary {
  readonly status: "COMPLETED" | "FAILED" | "UNKNOWN";
  /** Unix milliseconds; absent when the call was never picked up. */
  readonly startTime?: Instant;
  readonly endTime?: Instant;
  readonly durationS?: number;
  readonly errorCode?: number;
  readonly errorTitle?: string;
}

type Bridging = Base & { readonly route: Extract<Route, { handler: "bridge" }> };

/**
 * A call is a value. What cannot be, cannot be written: a call without an answer has no `answer`, and only a call that
 * was dialled has a leg `b`.
 */
export type Call =
  /** The offer is here, nothing was decided. */
  | (Base & { readonly state: "offered" })
  /** Media is preparing our answer. */
  | (Bridging & { readonly state: "preparing" })
  /** Meta has been told our answer by `pre_accept`; its 200 is awaited. */
  | (Bridging & { readonly state: "pre_accepting"; readonly answer: string })
  /** The PBX rings while ICE and DTLS run; both must succeed, in any order. */
  | (Bridging & { readonly state: "dialing"; readonly answer: string; readonly b: LegState; readonly mediaUp: boolean })
  /** `accept` is under way; not a packet has been sent. */
  | (Bridging & { readonly state: "accepting"; readonly answer: string })
  /** Audio flows. */
  | (Bridging & { readonly state: "bridged"; readonly answeredAt: Instant })
  | EndedCall;

export type EndedCall = Base & {
  readonly state: "ended";
  readonly disposition: Disposition;
  readonly endedAt: Instant;
  readonly answeredAt?: Instant;
  /** Meta's own account, which comes by webhook, most often a moment later. */
  readonly summary?: MetaSummary;
};

export type CallState = Call["state"];

/** A call whose offer has just come in. */
export function offeredCall(id: string, offer: Offer, limits: CallLimits, receivedAt: Instant): Call {
  return { state: "offered", id, offer, limits, receivedAt, evidence: {} };
}
