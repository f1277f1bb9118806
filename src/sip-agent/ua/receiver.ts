import type { Dialog } from "#sip-agent/dialog/dialog.ts";
import { dialogId } from "#sip-agent/dialog/dialog.ts";
import { isTooShort } from "#sip-agent/dialog/session-agreement.ts";
import { Headers } from "#sip-agent/message/headers.ts";
import type { SipRequest, SipResponse } from "#sip-agent/message/message.ts";
import { parseCSeq, parseNameAddr, tagOf } from "#sip-agent/message/values.ts";
import type { ServerTransaction } from "#sip-agent/transaction/runner.ts";
import type { Flow } from "#sip-agent/transport/listener.ts";
import { type Application, type Applications, type Reply, refusal } from "./application.ts";
import { taggedResponse } from "./compose.ts";
import type { Context } from "./context.ts";
import { ReceivedInvite } from "./received-invite.ts";
import { ReceivedRequest } from "./received-request.ts";

/** The server half of the core (RFC 3261 §8.2, §12.2.2): requests of peers, on their way to applications. */
export class Receiver {
  readonly #context: Context;
  readonly #applications: Applications;
  readonly #invites = new Map<string, ReceivedInvite>();
  readonly #inviteOf = new Map<ServerTransaction, ReceivedInvite>();
  /** Control identifiers of first INVITEs, to notice one that came twice over different paths. */
  readonly #firstInvites = new Set<string>();
  readonly #requests = new Map<string, ReceivedRequest>();

  constructor(context: Context, applications: Applications) {
    this.#context = context;
    this.#applications = applications;
  }

  /** Requests that wait for their application. */
  get pending(): number {
    return this.#invites.size + this.#requests.size;
  }

  request(transaction: ServerTransaction): void {
    if (tagOf(transaction.request.headers.get("To")) !== undefined) this.#inDialog(transaction);
    else if (transaction.request.method === "INVITE") this.#newInvite(transaction);
    else this.#newRequest(transaction);
  }

  cancel(cancel: ServerTransaction, inviteTransaction: ServerTransaction | undefined): void {
    if (inviteTransaction === undefined) {
      this.#answer(cancel, 481);
      return;
    }
    const invite = this.#inviteOf.get(inviteTransaction);
    this.#answer(cancel, 200, invite?.localTag);
    invite?.cancelled(cancel.request, cancel.flow);
  }

  ack(request: SipRequest, flow: Flow): void {
    const dialog = this.#dialogOf(request);
    const invite = dialog?.receivedInvite;
    const number = parseCSeq(request.headers.get("CSeq"))?.number;
    if (invite?.awaitsAck && number === parseCSeq(invite.request.headers.get("CSeq"))?.number) {
      invite.acknowledged(request, flow);
    } else if (dialog === undefined) this.#context.counters.add("acks_unmatched");
  }

  /** A response of an application to the request that it knows as `transactionId`. */
  respond(transactionId: string, sketch: SipResponse, application: Application, reply: Reply): void {
    const invite = this.#invites.get(transactionId);
    const request = this.#requests.get(transactionId);
    if (invite !== undefined) invite.respond(sketch, application, reply);
    else if (request !== undefined) request.respond(sketch, reply);
    else reply(refusal(`unknown or already answered transaction id: ${transactionId}`));
  }

  applicationLost(application: Application): void {
    for (const invite of [...this.#invites.values()]) {
      if (invite.application === application) invite.applicationLost();
    }
    for (const request of [...this.#requests.values()]) {
      if (request.application === application) request.refuse(request.method === "BYE" ? 200 : 480);
    }
  }

  stop(): void {
    for (const invite of [...this.#invites.values()]) invite.stop();
    for (const request of this.#requests.values()) request.stop();
    this.#requests.clear();
  }

  #newInvite(transaction: ServerTransaction): void {
    if (this.#refusedAsTooShort(transaction)) return;
    const { headers } = transaction.request;
    const fromTag = tagOf(headers.get("From"));
    const contact = parseNameAddr(headers.list("Contact")[0] ?? "");
    // Applications cannot make a dialog out of an INVITE that lacks either (RFC 3261 §8.1.1.3, §8.1.1.8).
    if (fromTag === undefined || contact === undefined) {
      this.#answer(transaction, 400);
      return;
    }
    const id = dialogId(headers.get("Call-ID") ?? "", fromTag);
    // RFC 3261 §8.2.2.2: the same request over two paths; also our own request that was sent back to us.
    if (this.#firstInvites.has(id) || this.#context.dialogs.byId(id) !== undefined) {
      this.#answer(transaction, 482);
      return;
    }
    const application = this.#applicationFor(transaction);
    if (application === undefined) return;
    if (this.#context.dialogs.size >= this.#context.maxDialogs) {
      this.#overloaded(transaction);
      return;
    }
    this.#firstInvites.add(id);
    this.#beginInvite(transaction, application, undefined, () => this.#firstInvites.delete(id));
  }

  #newRequest(transaction: ServerTransaction): void {
    const application = this.#applicationFor(transaction);
    if (application !== undefined) this.#beginRequest(transaction, application, undefined);
  }

  #applicationFor(transaction: ServerTransaction): Application | undefined {
    const application = this.#applications.next(transaction.request.method);
    if (application === undefined) this.#overloaded(transaction);
    return application;
  }

  #overloaded(transaction: ServerTransaction): void {
    this.#context.counters.add("requests_refused");
    this.#answer(transaction, 503);
  }

  #inDialog(transaction: ServerTransaction): void {
    const { request, flow } = transaction;
    const dialog = this.#dialogOf(request);
    if (dialog === undefined) {
      this.#answer(transaction, 481);
      return;
    }
    const number = parseCSeq(request.headers.get("CSeq"))?.number ?? 0;
    // RFC 3261 §12.2.2: an old number is a message that was overtaken.
    if (dialog.remoteSeq !== undefined && number < dialog.remoteSeq) {
      this.#answer(transaction, 500);
      return;
    }
    dialog.remoteSeq = number;
    if (!dialog.owner.alive) {
      this.#orphaned(transaction, dialog);
      return;
    }

    if (this.#refusedAsTooShort(transaction)) return;
    switch (request.method) {
      case "INVITE":
        this.#reInvite(transaction, dialog);
        return;
      case "UPDATE":
        this.#update(transaction, dialog);
        return;
      case "PRACK":
        if (!dialog.receivedInvite?.prack(request)) {
          this.#answer(transaction, 481);
          return;
        }
        this.#beginRequest(transaction, dialog.owner, dialog);
        return;
      case "BYE":
        this.#context.dialogs.remove(dialog);
        dialog.receivedInvite?.hungUp(flow);
        // The peer may never answer an INVITE of a call that is over.
        if (dialog.sentInvite?.isPending) dialog.sentInvite.cancel(new Headers());
        this.#beginRequest(transaction, dialog.owner, dialog);
        return;
      default:
        this.#beginRequest(transaction, dialog.owner, dialog);
        return;
    }
  }

  #refusedAsTooShort(transaction: ServerTransaction): boolean {
    const { method } = transaction.request;
    if (method !== "INVITE" && method !== "UPDATE") return false;
    if (!isTooShort(transaction.request, this.#context.minSessionS)) return false;
    const answer = taggedResponse(transaction.request, 422, this.#context.random);
    answer.headers.set("Min-SE", String(this.#context.minSessionS));
    transaction.respond(answer);
    return true;
  }

  /** The application is gone and may come back within its grace time. */
  #orphaned(transaction: ServerTransaction, dialog: Dialog): void {
    if (transaction.request.method !== "BYE") {
      this.#answer(transaction, 480);
      return;
    }
    this.#context.dialogs.remove(dialog);
    dialog.receivedInvite?.hungUp(transaction.flow);
    this.#answer(transaction, 200);
  }

  #reInvite(transaction: ServerTransaction, dialog: Dialog): void {
    // RFC 3261 §14.2: ours is open, so both sides wait and try again; theirs is open, so they are too early.
    if (dialog.sentInvite !== undefined) {
      this.#answer(transaction, 491);
      return;
    }
    if (dialog.receivedInvite?.isOpen) {
      this.#tooEarly(transaction);
      return;
    }
    refreshTarget(dialog, transaction);
    this.#beginInvite(transaction, dialog.owner, dialog, () => undefined);
  }

  #update(transaction: ServerTransaction, dialog: Dialog): void {
    const hasOffer = transaction.request.body.length > 0;
    // RFC 3311 §5.2.
    if (hasOffer && (dialog.sentInvite !== undefined || dialog.openUpdate === "sent")) {
      this.#answer(transaction, 491);
      return;
    }
    if (hasOffer && dialog.openUpdate === "received") {
      this.#tooEarly(transaction);
      return;
    }
    refreshTarget(dialog, transaction);
    if (hasOffer) dialog.openUpdate = "received";
    this.#beginRequest(transaction, dialog.owner, dialog);
  }

  #tooEarly(transaction: ServerTransaction): void {
    const answer = taggedResponse(transaction.request, 500, this.#context.random);
    answer.headers.set("Retry-After", String((this.#context.random(1)[0] ?? 0) % 11));
    transaction.respond(answer);
  }

  #beginInvite(
    transaction: ServerTransaction,
    application: Application,
    dialog: Dialog | undefined,
    onDone: () => void,
  ): void {
    const invite = new ReceivedInvite(this.#context, transaction, application, dialog, () => {
      this.#invites.delete(invite.transactionId);
      this.#inviteOf.delete(transaction);
      onDone();
    });
    this.#invites.set(invite.transactionId, invite);
    this.#inviteOf.set(transaction, invite);
    transaction.handlers = { ack: (ack, flow) => invite.acknowledged(ack, flow), failure: () => undefined };
    invite.begin();
  }

  #beginRequest(transaction: ServerTransaction, application: Application, dialog: Dialog | undefined): void {
    const request = new ReceivedRequest(this.#context, transaction, application, dialog, (_, answer) => {
      this.#requests.delete(request.transactionId);
      if (dialog === undefined || request.method !== "UPDATE") return;
      if (dialog.openUpdate === "received") dialog.openUpdate = undefined;
      if (answer.status < 300 && answer.body.length > 0) dialog.localSdp = answer.body;
      if (answer.status < 300) this.#context.sessionAgreed(dialog, "them", transaction.request, answer);
    });
    this.#requests.set(request.transactionId, request);
    request.begin();
  }

  #answer(transaction: ServerTransaction, status: number, tag?: string): void {
    transaction.respond(taggedResponse(transaction.request, status, this.#context.random, tag));
  }

  #dialogOf(request: SipRequest): Dialog | undefined {
    const { headers } = request;
    const localTag = tagOf(headers.get("To"));
    if (localTag === undefined) return undefined;
    return this.#context.dialogs.byTags(headers.get("Call-ID") ?? "", localTag, tagOf(headers.get("From")) ?? "");
  }
}

/** RFC 3261 §12.2.2: an INVITE or UPDATE says where its sender is from now on. */
function refreshTarget(dialog: Dialog, transaction: ServerTransaction): void {
  const target = parseNameAddr(transaction.request.headers.list("Contact")[0] ?? "")?.uri;
  if (target !== undefined) dialog.remoteTarget = target;
  dialog.flow = transaction.flow;
}
