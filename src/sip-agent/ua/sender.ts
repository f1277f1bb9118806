import { type Dialog, dialogId } from "#sip-agent/dialog/dialog.ts";
import { continueSession } from "#sip-agent/dialog/session-agreement.ts";
import { Headers } from "#sip-agent/message/headers.ts";
import type { SipRequest, SipResponse } from "#sip-agent/message/message.ts";
import { parseCSeq, parseNameAddr, tagOf } from "#sip-agent/message/values.ts";
import { randomUuid } from "#sip-agent/ports.ts";
import type { Flow } from "#sip-agent/transport/listener.ts";
import type { Resolution } from "#sip-agent/transport/resolve.ts";
import { type Application, type Reply, refusal, UNKNOWN_DIALOG } from "./application.ts";
import { BARE_ACK, dialogRequest, dialogTarget, newRequest } from "./compose.ts";
import type { Context } from "./context.ts";
import type { AckOutcome } from "./received-invite.ts";
import { answerFor, echoOf, madeUp } from "./responses.ts";
import { SentInvite } from "./sent-invite.ts";

/** The client half of the core (RFC 3261 §8.1, §12.2.1): requests of applications, on their way to peers. */
export class Sender {
  readonly #context: Context;
  /** INVITEs without a final response, by transaction identifier. */
  readonly #invites = new Map<string, SentInvite>();

  constructor(context: Context) {
    this.#context = context;
  }

  get pending(): number {
    return this.#invites.size;
  }

  /** A request outside any dialog; `proxyUri` says where to send it if not to its Request-URI. */
  send(sketch: SipRequest, proxyUri: string | undefined, application: Application, reply: Reply): void {
    if (lacksType(sketch)) {
      reply(refusal("missing content-type"));
      return;
    }
    if (!/^[a-z][a-z0-9+.-]*:\S+$/i.test(sketch.uri)) {
      reply(refusal(`invalid request-uri: ${sketch.uri}`));
      return;
    }
    if (!this.#context.transactions.hasRoom) {
      reply(refusal("too many transactions"));
      return;
    }
    const go = (resolution: Resolution): void => this.#launch(sketch, resolution, application, reply);
    this.#context.whenResolved(this.#context.resolve(proxyUri ?? sketch.uri), go);
  }

  cancel(transactionId: string, sketch: SipRequest, reply: Reply): void {
    const invite = this.#invites.get(transactionId);
    if (invite === undefined) {
      reply(refusal(`unable to cancel unknown transaction id: ${transactionId}`));
      return;
    }
    const message = invite.cancel(sketch.headers);
    reply(echoOf(message, invite.flow, randomUuid(this.#context.random)));
  }

  sendInDialog(id: string, sketch: SipRequest, application: Application, reply: Reply): void {
    const dialog = this.#context.dialogs.byId(id);
    if (dialog === undefined) {
      reply(UNKNOWN_DIALOG);
      return;
    }
    dialog.owner = application;
    if (sketch.method === "ACK") {
      if (dialog.sentInvite === undefined) {
        reply(refusal("no 2xx response to acknowledge"));
        return;
      }
      dialog.sentInvite.acknowledge(sketch, reply);
      return;
    }
    if (lacksType(sketch)) {
      reply(refusal("missing content-type"));
      return;
    }
    if (
      dialog.state === "early" &&
      (dialog.facts.role === "uas" ? sketch.method === "BYE" : sketch.method === "INVITE")
    ) {
      reply(refusal("the dialog is not established yet"));
      return;
    }
    if (!this.#context.transactions.hasRoom && sketch.method !== "BYE") {
      reply(refusal("too many transactions"));
      return;
    }
    this.#context.whenResolved(this.#context.flowOf(dialog, dialogTarget(dialog, sketch)), (resolution) => {
      if (resolution.ok) this.#sendInDialog(dialog, sketch, resolution.flow, application, reply);
      else reply(refusal(resolution.reason));
    });
  }

  /** A request of the agent itself; `stand` takes the answer. */
  sendOwn(dialog: Dialog, sketch: SipRequest, stand: Application): void {
    this.#context.whenResolved(this.#context.flowOf(dialog, dialog.remoteTarget), (resolution) => {
      if (resolution.ok && dialog.state !== "ended") {
        this.#sendInDialog(dialog, sketch, resolution.flow, stand, () => undefined);
      }
    });
  }

  applicationLost(application: Application): void {
    for (const invite of [...this.#invites.values()]) {
      if (invite.application === application) invite.applicationLost();
    }
  }

  stop(): void {
    for (const invite of this.#invites.values()) invite.stop();
    this.#invites.clear();
  }

  #launch(sketch: SipRequest, resolution: Resolution, application: Application, reply: Reply): void {
    const flow = resolution.ok ? resolution.flow : resolution.intended;
    if (flow === undefined) {
      reply(refusal(resolution.ok ? "unreachable" : resolution.reason));
      return;
    }
    if (this.#context.isOwn(flow)) {
      reply(refusal("can not send request to myself"));
      return;
    }
    const request = newRequest(sketch, flow, this.#context.random);
    if (request.method === "INVITE") {
      this.#launchInvite(request, flow, resolution.ok, application, reply);
      return;
    }
    const transactionId = randomUuid(this.#context.random);
    reply(echoOf(request, flow, transactionId));
    if (resolution.ok) this.#sendPlain(request, flow, application, transactionId, undefined);
    else application.deliver(answerFor(madeUp(request, 503), undefined, flow, transactionId, ""));
  }

  #launchInvite(request: SipRequest, flow: Flow, reachable: boolean, application: Application, reply: Reply): void {
    const id = dialogId(request.headers.get("Call-ID") ?? "", tagOf(request.headers.get("From")) ?? "");
    if (this.#context.dialogs.byId(id) !== undefined) {
      reply(refusal("a dialog with that Call-ID and tag exists"));
      return;
    }
    if (this.#context.dialogs.size >= this.#context.maxDialogs) {
      reply(refusal("too many dialogs"));
      return;
    }
    const transactionId = randomUuid(this.#context.random);
    const invite = this.#newInvite({ transactionId, dialogId: id }, request, flow, application, undefined);
    reply(echoOf(request, flow, transactionId));
    if (reachable) invite.begin();
    else invite.fail(503);
  }

  #newInvite(
    ids: { readonly transactionId: string; readonly dialogId: string },
    request: SipRequest,
    flow: Flow,
    application: Application,
    within: Dialog | undefined,
  ): SentInvite {
    const invite = new SentInvite(this.#context, ids, request, flow, application, within, (done) => {
      this.#invites.delete(done.transactionId);
    });
    this.#invites.set(ids.transactionId, invite);
    return invite;
  }

  #sendInDialog(dialog: Dialog, sketch: SipRequest, flow: Flow, application: Application, reply: Reply): void {
    const sequence = Math.max(parseCSeq(sketch.headers.get("CSeq"))?.number ?? 0, dialog.localSeq + 1);
    dialog.localSeq = sequence;
    const request = dialogRequest(dialog, sketch, flow, sequence, this.#context.random);
    if (sketch.method === "INVITE" || sketch.method === "UPDATE") {
      continueSession(request.headers, dialog.sessionTimer?.agreement);
    }
    const transactionId = randomUuid(this.#context.random);
    const isGlare = this.#glares(dialog, sketch);
    const reInvite =
      sketch.method === "INVITE" && !isGlare
        ? this.#newInvite({ transactionId, dialogId: dialog.id }, request, flow, application, dialog)
        : undefined;
    reply(echoOf(request, flow, transactionId));
    if (isGlare) application.deliver(answerFor(madeUp(request, 491), undefined, flow, transactionId, dialog.id));
    else if (reInvite !== undefined) beginAfterAck(reInvite, dialog);
    else if (sketch.method === "BYE") this.#sendBye(dialog, request, flow, application, transactionId);
    else this.#sendPlain(request, flow, application, transactionId, dialog);
  }

  /** RFC 3261 §14.1, RFC 3311 §5.1: no second offer while one is open; the application hears what the peer would say. */
  #glares(dialog: Dialog, sketch: SipRequest): boolean {
    if (sketch.method === "INVITE") return dialog.sentInvite !== undefined || dialog.receivedInvite?.isOpen === true;
    if (sketch.method !== "UPDATE" || sketch.body.length === 0) return false;
    return dialog.openUpdate !== undefined || (dialog.state === "confirmed" && dialog.sentInvite !== undefined);
  }

  #sendBye(dialog: Dialog, request: SipRequest, flow: Flow, application: Application, transactionId: string): void {
    const open = dialog.state === "confirmed" ? dialog.sentInvite : undefined;
    if (open?.isPending) open.cancel(new Headers());
    else if (open?.awaitsAck) open.acknowledge(BARE_ACK, () => undefined);
    const go = (outcome: AckOutcome): boolean => {
      if (outcome !== "over") this.#sendPlain(request, flow, application, transactionId, dialog);
      else application.deliver(answerFor(madeUp(request, 481), undefined, flow, transactionId, dialog.id));
      return true;
    };
    // RFC 3261 §15: the called side must not hang up before the ACK.
    if (dialog.receivedInvite?.isFirst && dialog.receivedInvite.awaitsAck) dialog.receivedInvite.whenAcknowledged(go);
    else go("acknowledged");
  }

  #sendPlain(
    request: SipRequest,
    flow: Flow,
    application: Application,
    transactionId: string,
    dialog: Dialog | undefined,
  ): void {
    const isOffer = dialog !== undefined && request.method === "UPDATE" && request.body.length > 0;
    if (isOffer) dialog.openUpdate = "sent";
    const finish = (response: SipResponse, from: Flow | undefined): void => {
      if (isOffer && response.status >= 200) dialog.openUpdate = undefined;
      application.deliver(answerFor(response, from, flow, transactionId, dialog?.id ?? ""));
      if (dialog !== undefined && response.status >= 200) this.#afterInDialog(dialog, request, response);
    };
    this.#context.transactions.request(request, flow, {
      response: (response, from) => {
        if (response.status !== 100) finish(response, from);
      },
      failure: (cause) => finish(madeUp(request, cause === "timeout" ? 408 : 503), undefined),
    });
  }

  /** What a final response means for the dialog it came in. */
  #afterInDialog(dialog: Dialog, request: SipRequest, response: SipResponse): void {
    const { status } = response;
    if (request.method === "BYE") {
      // A challenge is answered with another BYE, in the same dialog.
      if (status !== 401 && status !== 407) this.#context.dialogs.remove(dialog);
    } else if (request.method === "UPDATE") {
      if (status < 300) {
        const target = parseNameAddr(response.headers.list("Contact")[0] ?? "")?.uri;
        if (target !== undefined) dialog.remoteTarget = target;
        if (request.body.length > 0) dialog.localSdp = request.body;
        this.#context.sessionAgreed(dialog, "us", request, response);
      } else if (status === 481 || status === 408) this.#context.hangUp(dialog, `UPDATE answered ${status}`, true);
    }
  }
}

/** RFC 3261 §14.1: not while the peer's INVITE is unfinished, which it is until its ACK. */
function beginAfterAck(invite: SentInvite, dialog: Dialog): void {
  const received = dialog.receivedInvite;
  if (received === undefined) {
    invite.begin();
    return;
  }
  received.whenAcknowledged((outcome) => {
    if (outcome === "acknowledged") invite.begin();
    else invite.fail(481);
    return false;
  });
}

function lacksType(sketch: SipRequest): boolean {
  if (sketch.body.length === 0 || sketch.headers.has("Content-Type")) return false;
  return sketch.body.subarray(0, 3).toString() !== "v=0";
}
