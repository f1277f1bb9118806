import { Dialog } from "#sip-agent/dialog/dialog.ts";
import { Headers } from "#sip-agent/message/headers.ts";
import type { SipRequest, SipResponse } from "#sip-agent/message/message.ts";
import { formatHostPort } from "#sip-agent/message/uri.ts";
import { parseCSeq, parseNameAddr, tagOf } from "#sip-agent/message/values.ts";
import { randomUuid } from "#sip-agent/ports.ts";
import { patience } from "#sip-agent/transaction/machine.ts";
import type { Flow } from "#sip-agent/transport/listener.ts";
import { Alarm } from "./alarm.ts";
import { type Application, type Reply, refusal } from "./application.ts";
import { BARE_ACK, cancelOf, dialogRequest } from "./compose.ts";
import type { Context } from "./context.ts";
import { answerFor, echoOf, madeUp } from "./responses.ts";

/** The peer's answer on one branch of a fork, told apart by its To tag. */
type Branch = { readonly dialog: Dialog; ack?: { readonly message: SipRequest; readonly flow: Flow } };

/**
 * An INVITE that we sent for an application, the first of a call or one inside it, from its start until no more 2xx can
 * come (RFC 3261 §13.2). The application sends the ACK of the first 2xx; every other ACK is ours.
 *
 * CANCEL is remembered until a provisional response has come (§9.1). A 2xx that crosses it is delivered, and the
 * call ends with a BYE right after its ACK.
 */
export class SentInvite {
  readonly transactionId: string;
  readonly dialogId: string;
  readonly request: SipRequest;
  readonly flow: Flow;
  readonly application: Application;
  readonly #context: Context;
  readonly #onFinal: (invite: SentInvite) => void;
  /** The dialog of an INVITE inside a call. */
  readonly #within: Dialog | undefined;
  readonly #branches = new Map<string, Branch>();
  readonly #cancelDeadline: Alarm;
  #winner: Branch | undefined;
  #provisional = false;
  #final = false;
  #cancel: { readonly message: SipRequest; sent: boolean } | undefined;
  #lost = false;

  constructor(
    context: Context,
    ids: { readonly transactionId: string; readonly dialogId: string },
    request: SipRequest,
    flow: Flow,
    application: Application,
    within: Dialog | undefined,
    onFinal: (invite: SentInvite) => void,
  ) {
    this.#context = context;
    this.transactionId = ids.transactionId;
    this.dialogId = ids.dialogId;
    this.request = request;
    this.flow = flow;
    this.application = application;
    this.#within = within;
    this.#onFinal = onFinal;
    this.#cancelDeadline = new Alarm(context.clock);
    if (within !== undefined) within.sentInvite = this;
  }

  /** True until the final response has been delivered. */
  get isPending(): boolean {
    return !this.#final;
  }

  /** True between the 2xx and its ACK. */
  get awaitsAck(): boolean {
    return this.#winner !== undefined && this.#winner.ack === undefined;
  }

  get sequence(): number {
    return parseCSeq(this.request.headers.get("CSeq"))?.number ?? 0;
  }

  begin(): void {
    this.#context.transactions.request(this.request, this.flow, {
      response: (response, flow) => this.#receive(response, flow),
      failure: (cause) => this.#fail(cause === "timeout" ? 408 : 503),
    });
  }

  /** Answers an INVITE locally that could not even be sent. */
  fail(status: number): void {
    this.#fail(status);
  }

  cancel(extra: Headers): SipRequest {
    this.#cancel ??= { message: cancelOf(this.request, extra), sent: false };
    if (this.#provisional) this.#sendCancel();
    return this.#cancel.message;
  }

  /** Its application is gone: end it whichever way it still can be ended. */
  applicationLost(): void {
    this.#lost = true;
    if (this.isPending) this.cancel(new Headers());
    else if (this.#winner !== undefined && this.awaitsAck) this.#acknowledge(this.#winner, BARE_ACK, () => undefined);
  }

  stop(): void {
    this.#cancelDeadline.stop();
  }

  /** The application's ACK of the 2xx, with the answer if the offer came late. */
  acknowledge(sketch: SipRequest, reply: Reply): void {
    if (this.#winner === undefined) {
      reply(refusal("no 2xx response to acknowledge"));
      return;
    }
    if (this.#winner.ack !== undefined) {
      reply(refusal("already acknowledged"));
      return;
    }
    this.#acknowledge(this.#winner, sketch, reply);
  }

  #receive(response: SipResponse, flow: Flow): void {
    if (response.status < 200) this.#receiveProvisional(response, flow);
    else if (response.status < 300) this.#receiveSuccess(response, flow);
    else if (!this.#final) this.#conclude(response, flow);
  }

  #receiveProvisional(response: SipResponse, flow: Flow): void {
    if (this.#final) return;
    this.#provisional = true;
    if (this.#cancel !== undefined) this.#sendCancel();
    if (response.status === 100) {
      if (this.application.wantsTrying) this.#deliver(response, flow);
      return;
    }
    const tag = tagOf(response.headers.get("To"));
    if (tag !== undefined && this.#within === undefined && !this.#openEarly(response, flow, tag)) return;
    this.#deliver(response, flow);
  }

  /** Makes or refreshes the early dialog; false for a reliable response that was already delivered (RFC 3262 §4). */
  #openEarly(response: SipResponse, flow: Flow, tag: string): boolean {
    const dialog = this.#branchOf(response, flow, tag).dialog;
    const rseq = Number(response.headers.get("RSeq") ?? Number.NaN);
    if (!Number.isInteger(rseq) || !response.headers.mentions("Require", "100rel")) return true;
    if (dialog.remoteRSeq !== undefined && rseq !== dialog.remoteRSeq + 1) return false;
    dialog.remoteRSeq = rseq;
    return true;
  }

  #receiveSuccess(response: SipResponse, flow: Flow): void {
    const tag = tagOf(response.headers.get("To")) ?? "";
    const known = this.#branches.get(tag);
    if (known?.ack !== undefined) {
      this.#context.transactions.sendStateless(known.ack.message, known.ack.flow);
      return;
    }
    // A repeat that comes before the application's ACK.
    if (known !== undefined && known === this.#winner) return;
    if (this.#final) {
      this.#endFork(response, flow, tag);
      return;
    }

    const branch = this.#branchOf(response, flow, tag);
    this.#winner = branch;
    for (const [other, loser] of this.#branches) {
      if (loser === branch || this.#within !== undefined) continue;
      this.#context.dialogs.remove(loser.dialog);
      this.#branches.delete(other);
    }
    this.#confirm(branch.dialog, response, flow);
    if (this.#within === undefined) this.#context.dialogs.add(branch.dialog);
    this.#context.sessionAgreed(branch.dialog, "us", this.request, response);
    this.#conclude(withContact(response, flow), flow);
    if (this.#lost) this.#acknowledge(branch, BARE_ACK, () => undefined);
  }

  #confirm(dialog: Dialog, response: SipResponse, flow: Flow): void {
    const target = parseNameAddr(response.headers.list("Contact")[0] ?? "")?.uri;
    if (target !== undefined) dialog.remoteTarget = target;
    if (dialog.state === "early") dialog.routeSet = response.headers.list("Record-Route").toReversed();
    dialog.contact = this.request.headers.get("Contact") ?? dialog.contact;
    dialog.flow = flow;
    dialog.state = "confirmed";
    if (this.request.body.length > 0) dialog.localSdp = this.request.body;
  }

  /** A second phone picked up: RFC 3261 §13.2.2.4 wants it acknowledged; nobody wants it kept. */
  #endFork(response: SipResponse, flow: Flow, tag: string): void {
    this.#context.counters.add("forks_ended");
    const branch = this.#branchOf(response, flow, tag);
    this.#confirm(branch.dialog, response, flow);
    this.#acknowledge(branch, BARE_ACK, () => undefined);
    this.#context.hangUp(branch.dialog, "fork answered elsewhere", false);
  }

  #acknowledge(branch: Branch, sketch: SipRequest, reply: Reply): void {
    const { dialog } = branch;
    this.#context.whenResolved(this.#context.flowOf(dialog, dialog.remoteTarget), (resolution) => {
      this.#sendAck(branch, sketch, resolution.ok ? resolution.flow : dialog.flow, reply);
    });
  }

  #sendAck(branch: Branch, sketch: SipRequest, flow: Flow, reply: Reply): void {
    const { dialog } = branch;
    const message = dialogRequest(dialog, sketch, flow, this.sequence, this.#context.random);
    branch.ack = { message, flow };
    if (message.body.length > 0) dialog.localSdp = message.body;
    this.#context.transactions.sendStateless(message, flow);
    reply(echoOf(message, flow, randomUuid(this.#context.random)));
    if (this.#within?.sentInvite === this) this.#within.sentInvite = undefined;
    if (dialog.sentInvite === this) dialog.sentInvite = undefined;
    if (this.#lost) this.#context.hangUp(dialog, "application lost", false);
    else if (this.#cancel !== undefined && this.#within === undefined && branch === this.#winner) {
      this.#context.hangUp(dialog, "ACK-BYE due to cancel race condition", true);
    }
  }

  #sendCancel(): void {
    if (this.#cancel === undefined || this.#cancel.sent || this.#final) return;
    this.#cancel.sent = true;
    this.#context.transactions.request(this.#cancel.message, this.flow, {
      response: () => undefined,
      failure: () => undefined,
    });
    // RFC 3261 §9.1: a peer that cannot cancel (RFC 2543) may never answer the INVITE.
    this.#cancelDeadline.start(patience(this.#context.timers), () => this.#fail(487));
  }

  #fail(status: number): void {
    if (this.#final) return;
    this.#conclude(madeUp(this.request, status), undefined);
  }

  /** The final response: delivered once, and then this INVITE cannot be cancelled any more. */
  #conclude(response: SipResponse, flow: Flow | undefined): void {
    this.#final = true;
    this.#cancelDeadline.stop();
    this.#onFinal(this);
    if (response.status >= 300) {
      if (this.#within?.sentInvite === this) this.#within.sentInvite = undefined;
      if (this.#within === undefined)
        for (const { dialog } of this.#branches.values()) this.#context.dialogs.remove(dialog);
    }
    this.#deliver(response, flow);
    // RFC 3261 §12.2.1.2: the peer no longer knows the call, or is gone.
    if (this.#within !== undefined && (response.status === 481 || response.status === 408)) {
      this.#context.hangUp(this.#within, `re-INVITE answered ${response.status}`, true);
    }
  }

  #deliver(response: SipResponse, flow: Flow | undefined): void {
    this.application.deliver(answerFor(response, flow, this.flow, this.transactionId, this.dialogId));
  }

  #branchOf(response: SipResponse, flow: Flow, tag: string): Branch {
    const known = this.#branches.get(tag);
    const dialog = known?.dialog ?? this.#within ?? this.#newDialog(response, flow, tag);
    const branch = known ?? { dialog };
    if (known === undefined) this.#branches.set(tag, branch);
    else if (dialog.state === "early") {
      dialog.remoteTarget = parseNameAddr(response.headers.list("Contact")[0] ?? "")?.uri ?? dialog.remoteTarget;
      if (!this.#final) this.#context.dialogs.add(dialog);
    }
    return branch;
  }

  #newDialog(response: SipResponse, flow: Flow, tag: string): Dialog {
    const { headers } = this.request;
    const dialog = new Dialog(
      {
        id: this.dialogId,
        role: "uac",
        method: "INVITE",
        callId: headers.get("Call-ID") ?? "",
        localTag: tagOf(headers.get("From")) ?? "",
        remoteTag: tag,
        local: headers.get("From") ?? "",
        remote: response.headers.get("To") ?? headers.get("To") ?? "",
      },
      this.application,
      {
        contact: headers.get("Contact") ?? "",
        remoteTarget: parseNameAddr(response.headers.list("Contact")[0] ?? "")?.uri ?? this.request.uri,
        // RFC 3261 §12.1.2: for the caller in reverse order.
        routeSet: response.headers.list("Record-Route").toReversed(),
        flow,
        localSeq: this.sequence,
        remoteSeq: undefined,
      },
    );
    dialog.sentInvite = this;
    if (!this.#final) this.#context.dialogs.add(dialog);
    return dialog;
  }
}

/** The application needs a Contact in every 2xx, or it forgets a call that is up (RFC 3261 §12.1.1 demands one). */
function withContact(response: SipResponse, flow: Flow): SipResponse {
  if (response.headers.has("Contact")) return response;
  const headers = response.headers
    .clone()
    .add("Contact", `<sip:${formatHostPort(flow.remote.host, flow.remote.port)}>`);
  return { ...response, headers };
}
