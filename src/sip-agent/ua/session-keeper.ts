import type { Dialog } from "#sip-agent/dialog/dialog.ts";
import { agreementOf, aloneWith, type SessionAgreement, type Side } from "#sip-agent/dialog/session-agreement.ts";
import { SessionTimer } from "#sip-agent/dialog/session-timer.ts";
import { Headers } from "#sip-agent/message/headers.ts";
import { NO_BODY, type SipRequest, type SipResponse } from "#sip-agent/message/message.ts";
import type { Application, Delivery } from "./application.ts";
import { BARE_ACK, PLACEHOLDER } from "./compose.ts";
import type { Context } from "./context.ts";
import type { Sender } from "./sender.ts";

/** Keeps the session timers of all dialogs (RFC 4028). Applications see neither our refreshes nor their answers. */
export class SessionKeeper {
  readonly #context: Context;
  readonly #sender: Sender;
  readonly #minSeconds: number;

  constructor(context: Context, sender: Sender, minSeconds: number) {
    this.#context = context;
    this.#sender = sender;
    this.#minSeconds = minSeconds;
  }

  /** A 2xx to an INVITE or UPDATE went over the wire: its timer, or none, holds from now on. */
  agreed(dialog: Dialog, sender: Side, request: SipRequest, response: SipResponse): void {
    const theirs = sender === "us" ? response.headers : request.headers;
    if (theirs.has("Allow")) dialog.peerTakesUpdate = theirs.mentions("Allow", "update");
    const before = dialog.sessionTimer;
    before?.stop();
    dialog.sessionTimer = undefined;
    const agreement = agreementOf(sender, response, this.#minSeconds) ?? this.#alone(dialog, sender, request, before);
    if (agreement === undefined || dialog.state !== "confirmed") return;
    dialog.sessionTimer = new SessionTimer(this.#context.clock, agreement, {
      refresh: () => this.#refresh(dialog),
      expire: () => {
        this.#context.counters.add("sessions_expired");
        this.#context.hangUp(dialog, "Session timer expired", true);
      },
    });
    dialog.sessionTimer.start();
  }

  /** Only by UPDATE, which changes nothing: a re-INVITE may do more to a peer that has not agreed to any. */
  #alone(
    dialog: Dialog,
    sender: Side,
    request: SipRequest,
    before: SessionTimer | undefined,
  ): SessionAgreement | undefined {
    if (!dialog.peerTakesUpdate) return undefined;
    if (sender === "us") return aloneWith(request, this.#minSeconds);
    return before?.agreement.alone ? before.agreement : undefined;
  }

  /** UPDATE without a body changes nothing but the time; peers that do not take it get our last offer once more. */
  #refresh(dialog: Dialog): void {
    const interval = dialog.sessionTimer?.agreement.intervalS;
    if (interval === undefined || dialog.sentInvite !== undefined || dialog.receivedInvite !== undefined) return;
    const body = dialog.peerTakesUpdate ? NO_BODY : dialog.localSdp;
    if (body === undefined) return;
    const headers = new Headers().add("Supported", "timer").add("Session-Expires", `${interval};refresher=uac`);
    const method = dialog.peerTakesUpdate ? "UPDATE" : "INVITE";
    const sketch: SipRequest = { kind: "request", method, uri: PLACEHOLDER, headers, body };
    this.#sender.sendOwn(dialog, sketch, new Refresher(dialog));
  }
}

/** Stands in for the application while the agent refreshes a session: it acknowledges, and that is all. */
class Refresher implements Application {
  readonly alive = true;
  readonly wantsTrying = false;
  readonly #dialog: Dialog;

  constructor(dialog: Dialog) {
    this.#dialog = dialog;
  }

  deliver(delivery: Delivery): void {
    const { message } = delivery;
    if (message.kind !== "response" || message.status < 200) return;
    if (message.status >= 300) {
      if (delivery.remote !== undefined && this.#dialog.state === "confirmed") this.#dialog.sessionTimer?.heard();
      return;
    }
    this.#dialog.sentInvite?.acknowledge(BARE_ACK, () => undefined);
  }
}
