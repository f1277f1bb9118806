import type { Headers } from "#sip-agent/message/headers.ts";
import type { SipRequest, SipResponse } from "#sip-agent/message/message.ts";
import { parseParams, parseSeconds } from "#sip-agent/message/values.ts";

/** Who sends a request, or has to refresh: the agent with its application, or the peer. */
export type Side = "us" | "them";

/** What both sides settled about the life of a session (RFC 4028). */
export type SessionAgreement = {
  readonly intervalS: number;
  readonly refresher: Side;
  /** The peer keeps no timer: we alone ask in time whether it is still there, and any answer will do. */
  readonly alone?: true;
};

/** What a 2xx to an INVITE or UPDATE settles; `undefined` if it names no interval. `sender` sent the request. */
export function agreementOf(sender: Side, response: SipResponse, minSeconds: number): SessionAgreement | undefined {
  const value = response.headers.get("Session-Expires");
  const seconds = parseSeconds(value);
  if (value === undefined || seconds === undefined) return undefined;
  // RFC 4028 §7.2: `uac` is who sent the request. Without the parameter it is the one who has to care.
  const byUac = refresherOf(value) !== "uas";
  return { intervalS: Math.max(seconds, minSeconds), refresher: byUac === (sender === "us") ? "us" : "them" };
}

/** What holds where our request asked for a timer and the 2xx of a peer that knows none did not name one. */
export function aloneWith(request: SipRequest, minSeconds: number): SessionAgreement | undefined {
  const seconds = parseSeconds(request.headers.get("Session-Expires"));
  return seconds === undefined ? undefined : { intervalS: Math.max(seconds, minSeconds), refresher: "us", alone: true };
}

/** True if the interval is one that we must refuse with 422 (RFC 4028 §6); only peers that know timers can be told. */
export function isTooShort(request: SipRequest, minSeconds: number): boolean {
  const seconds = parseSeconds(request.headers.get("Session-Expires"));
  return seconds !== undefined && seconds < minSeconds && request.headers.mentions("Supported", "timer");
}

/**
 * Answers a peer's refresh for an application that does not know of it: without a Session-Expires in the 2xx the timer would
 * stop on one side only. What the application wrote stays.
 */
export function answerRefresh(request: SipRequest, answer: Headers, running: SessionAgreement | undefined): void {
  const value = request.headers.get("Session-Expires");
  const seconds = parseSeconds(value) ?? running?.intervalS;
  const knowsTimers = request.headers.mentions("Supported", "timer") || value !== undefined;
  if (answer.has("Session-Expires") || seconds === undefined || !knowsTimers) return;
  const refresher = refresherOf(value ?? "") ?? (running?.refresher === "us" ? "uas" : "uac");
  answer.set("Session-Expires", `${seconds};refresher=${refresher}`);
  // RFC 4028 §9: if the peer is to refresh, it has to know.
  if (refresher === "uac" && !answer.mentions("Require", "timer")) answer.add("Require", "timer");
}

/** Our own INVITE or UPDATE in a call with a timer asks for it to go on, or the 2xx would end it (RFC 4028 §7.4). */
export function continueSession(request: Headers, running: SessionAgreement | undefined): void {
  if (running === undefined || request.has("Session-Expires")) return;
  request.set("Session-Expires", `${running.intervalS};refresher=${running.refresher === "us" ? "uac" : "uas"}`);
  if (!request.mentions("Supported", "timer")) request.add("Supported", "timer");
}

function refresherOf(value: string): "uac" | "uas" | undefined {
  const semicolon = value.indexOf(";");
  const refresher =
    semicolon === -1
      ? undefined
      : parseParams(value.slice(semicolon + 1))
          .get("refresher")
          ?.toLowerCase();
  return refresher === "uac" || refresher === "uas" ? refresher : undefined;
}
