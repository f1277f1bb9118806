import { Dialog, dialogId } from "#sip-agent/dialog/dialog.ts";
import { answerRefresh } from "#sip-agent/dialog/session-agreement.ts";
import type { SipRequest, SipResponse } from "#sip-agent/message/message.ts";
import { parseCSeq, parseNameAddr, tagOf } from "#sip-agent/message/values.ts";
import { randomUuid } from "#sip-agent/ports.ts";
import { responseTo } from "#sip-agent/transaction/layer.ts";
import { patience } from "#sip-agent/transaction/machine.ts";
import type { ServerTransaction } from "#sip-agent/transaction/runner.ts";
import type { Flow } from "#sip-agent/transport/listener.ts";
import { Alarm } from "./alarm.ts";
import { type Application, fromNetwork, newFromNetwork, type Reply, refusal } from "./application.ts";
import { contactFor, newTag, response, taggedResponse } from "./compose.ts";
import type { Context } from "./context.ts";
import { ReliableProvisionals } from "./reliable-provisionals.ts";

/** How the wait for an ACK ended: it came, 32 s went by without it, or the call was over first. */
export type AckOutcome = "acknowledged" | "missed" | "over";

/** Called once; returns true if it has ended the call. */
export type AfterAck = (outcome: AckOutcome) => boolean;

/** RFC 3261 §13.3.1.1: "at every minute". */
const KEEP_RINGING_MS = 60_000;

type Stage = "open" | "answered" | "done";

/**
 * An INVITE that a peer sent us, the first of a call or one inside it, from its arrival to the ACK (RFC 3261 §13.3).
 *
 *     open ──2xx──▶ answered ──ACK, or 32 s of silence──▶ done
 *       └──300–699, CANCEL, BYE, silence of the application──▶ done
 */
export class ReceivedInvite {
  readonly transactionId: string;
  readonly transaction: ServerTransaction;
  readonly #context: Context;
  readonly #onDone: (invite: ReceivedInvite) => void;
  /** Set for an INVITE inside a dialog, and for the first one as soon as it has a response with To tag. */
  #dialog: Dialog | undefined;
  readonly #isFirst: boolean;
  readonly #repeat: Alarm;
  readonly #deadline: Alarm;
  readonly #reliable: ReliableProvisionals;
  #application: Application;
  #stage: Stage = "open";
  /** The application has reacted. */
  #heard = false;
  /** The application has answered, though its 2xx may still wait for a PRACK. */
  #finalGiven = false;
  /** Requests of the application that have to wait for the ACK. */
  #afterAck: AfterAck[] = [];

  constructor(
    context: Context,
    transaction: ServerTransaction,
    application: Application,
    dialog: Dialog | undefined,
    onDone: (invite: ReceivedInvite) => void,
  ) {
    this.#context = context;
    this.transaction = transaction;
    this.transactionId = randomUuid(context.random);
    this.#application = application;
    this.#dialog = dialog;
    this.#isFirst = dialog === undefined;
    this.#onDone = onDone;
    this.#repeat = new Alarm(context.clock);
    this.#deadline = new Alarm(context.clock);
    this.#reliable = new ReliableProvisionals(
      context,
      (bytes) => transaction.respond(bytes),
      () => this.#refuse(504),
    );
    if (dialog !== undefined) dialog.receivedInvite = this;
  }

  get application(): Application {
    return this.#application;
  }

  get isOpen(): boolean {
    return this.#stage === "open";
  }

  /** True for the INVITE that begins a call. */
  get isFirst(): boolean {
    return this.#isFirst;
  }

  get awaitsAck(): boolean {
    return this.#stage === "answered";
  }

  /** Our tag, once a response has carried it. */
  get localTag(): string | undefined {
    return this.#dialog?.facts.localTag;
  }

  get request(): SipRequest {
    return this.transaction.request;
  }

  /** Hands the INVITE to its application, 100 first, so that the peer stops repeating (RFC 3261 §17.2.1). */
  begin(): void {
    const { flow, request } = this.transaction;
    this.transaction.respond(responseTo(request, 100));
    const dialog = this.#dialog;
    this.#application.deliver(
      dialog === undefined
        ? newFromNetwork(request, flow, this.transactionId)
        : fromNetwork(request, flow, this.transactionId, dialog.id),
    );
    this.#deadline.start(this.#context.patience.silentInviteMs, () => this.#giveUp("application silent"));
  }

  /** A response of the application. */
  respond(sketch: SipResponse, application: Application, reply: Reply): void {
    if (this.#stage !== "open" || this.#finalGiven) {
      reply(refusal("a final response has already been sent"));
      return;
    }
    this.#application = application;
    if (isReliable(sketch) && !this.#peerTakesReliable()) {
      reply(refusal("Remote endpoint does not support 100rel"));
      return;
    }
    if (this.#isFirst && this.#dialog === undefined && sketch.status > 100 && sketch.status < 300) {
      if (this.#context.dialogs.size >= this.#context.maxDialogs) {
        reply(refusal("too many dialogs"));
        return;
      }
      this.#dialog = this.#makeDialog(sketch);
    }
    const answer = this.#compose(sketch);
    const { flow } = this.transaction;
    reply({
      ok: true,
      echo: {
        message: answer,
        protocol: flow.listener.protocol,
        address: flow.remote,
        transactionId: this.transactionId,
        dialogId: this.#dialog?.id ?? this.#futureId(),
      },
    });
    this.#finalGiven = answer.status >= 200;
    if (answer.status < 200) this.#proceed(answer);
    else if (answer.status < 300) this.#reliable.whenAcknowledged(() => this.#accept(answer));
    else this.#finish(answer);
  }

  #compose(sketch: SipResponse): SipResponse {
    const { flow, request } = this.transaction;
    const dialog = this.#dialog;
    const isSuccess = sketch.status >= 200 && sketch.status < 300;
    const answer = response(request, sketch, flow, {
      toTag: sketch.status === 100 ? undefined : (dialog?.facts.localTag ?? this.#tagFor(sketch)),
      contact: isSuccess || isReliable(sketch) ? dialog?.contact : undefined,
    });
    if (isSuccess && !this.#isFirst) answerRefresh(request, answer.headers, dialog?.sessionTimer?.agreement);
    if (isSuccess && dialog !== undefined) dialog.contact = answer.headers.get("Contact") ?? dialog.contact;
    if (isReliable(sketch)) answer.headers.set("RSeq", String(this.#reliable.nextNumber()));
    return answer;
  }

  #proceed(answer: SipResponse): void {
    // The application's first word sets the time that the phone may ring; further ones do not prolong it.
    if (!this.#heard) this.#deadline.start(this.#context.patience.ringingMs, () => this.#giveUp("rang too long"));
    this.#heard = true;
    if (isReliable(answer)) this.#reliable.send(answer);
    else this.#reliable.whenAcknowledged(() => this.transaction.respond(answer));
    if (answer.status > 100 && !isReliable(answer)) this.#keepRinging(answer);
  }

  /** RFC 3261 §13.3.1.1: a proxy on the way forgets an INVITE that it hears nothing of for three minutes. */
  #keepRinging(answer: SipResponse): void {
    this.#repeat.start(KEEP_RINGING_MS, () => {
      this.transaction.respond(answer);
      this.#keepRinging(answer);
    });
  }

  #accept(answer: SipResponse): void {
    if (this.#stage !== "open") return;
    const { timers } = this.#context;
    this.#stage = "answered";
    this.transaction.respond(answer);
    const dialog = this.#dialog;
    if (dialog !== undefined) {
      dialog.state = "confirmed";
      dialog.receivedInvite = this;
      if (answer.body.length > 0) dialog.localSdp = answer.body;
      this.#context.sessionAgreed(dialog, "them", this.request, answer);
    }
    // RFC 3261 §13.3.1.4: whatever the transport, because the hops behind it may lose packets.
    const repeat = (ms: number): void => {
      this.#repeat.start(ms, () => {
        this.transaction.respond(answer);
        repeat(Math.min(ms * 2, timers.t2Ms));
      });
    };
    repeat(timers.t1Ms);
    this.#deadline.start(patience(timers), () => this.#ackMissed());
  }

  /** The ACK for our 2xx. A repeated one changes nothing. */
  acknowledged(ack: SipRequest, flow: Flow): void {
    if (this.#stage !== "answered" || this.#dialog === undefined) return;
    const dialog = this.#dialog;
    const waiting = this.#takeWaiting();
    this.#done();
    dialog.owner.deliver(
      fromNetwork(ack, flow, this.#isFirst ? this.transactionId : randomUuid(this.#context.random), dialog.id),
    );
    for (const run of waiting) run("acknowledged");
  }

  /** Only while the ACK is awaited. */
  whenAcknowledged(run: AfterAck): void {
    this.#afterAck.push(run);
  }

  /** A PRACK; true if it acknowledges our latest reliable response. */
  prack(request: SipRequest): boolean {
    return this.#reliable.acknowledge(request.headers.get("RAck"), parseCSeq(this.request.headers.get("CSeq"))?.number);
  }

  /** The peer's CANCEL: no effect once a final response has gone out (RFC 3261 §9.2). */
  cancelled(cancel: SipRequest, flow: Flow): void {
    if (this.#stage !== "open") return;
    this.#tellCancelled(cancel, flow);
    this.#refuse(487);
  }

  /** The peer hung up with BYE before we answered. */
  hungUp(flow: Flow): void {
    if (this.#stage === "open") {
      if (this.#isFirst) this.#tellCancelled(this.#madeUpCancel(), flow);
      this.#refuse(487);
    } else this.#done();
  }

  applicationLost(): void {
    if (this.#stage === "open") this.#refuse(480);
  }

  stop(): void {
    this.#done();
  }

  #giveUp(why: string): void {
    this.#context.log.warn({ sip_call_id: this.request.headers.get("Call-ID"), why }, "invite given up");
    if (this.#isFirst) this.#tellCancelled(this.#madeUpCancel(), this.transaction.flow);
    // In a call that goes on, 480 would say too much (RFC 5057 §5.1).
    this.#refuse(this.#isFirst ? 480 : 500);
  }

  #ackMissed(): void {
    const dialog = this.#dialog;
    const waiting = this.#takeWaiting();
    this.#context.counters.add("acks_missed");
    this.#done();
    const ended = waiting.map((run) => run("missed")).includes(true);
    if (dialog !== undefined && dialog.state !== "ended" && !ended) this.#context.hangUp(dialog, "ACK timeout", true);
  }

  #refuse(status: number): void {
    this.#finish(taggedResponse(this.request, status, this.#context.random, this.#dialog?.facts.localTag));
  }

  #finish(answer: SipResponse): void {
    this.transaction.respond(answer);
    const dialog = this.#dialog;
    this.#done();
    if (this.#isFirst && dialog !== undefined) this.#context.dialogs.remove(dialog);
  }

  #done(): void {
    this.#stage = "done";
    this.#repeat.stop();
    this.#deadline.stop();
    this.#reliable.stop();
    if (this.#dialog?.receivedInvite === this) this.#dialog.receivedInvite = undefined;
    for (const run of this.#takeWaiting()) run("over");
    this.#onDone(this);
  }

  #takeWaiting(): readonly AfterAck[] {
    const waiting = this.#afterAck;
    this.#afterAck = [];
    return waiting;
  }

  #tellCancelled(cancel: SipRequest, flow: Flow): void {
    this.#application.deliver(fromNetwork(cancel, flow, this.transactionId, this.#dialog?.id ?? ""));
  }

  /** Applications know one way to hear that an INVITE is over before they answered it. */
  #madeUpCancel(): SipRequest {
    const headers = this.request.headers.clone();
    for (const name of ["Content-Type", "Contact", "Record-Route"]) headers.delete(name);
    headers.set("CSeq", `${parseCSeq(headers.get("CSeq"))?.number ?? 1} CANCEL`);
    return { kind: "request", method: "CANCEL", uri: this.request.uri, headers, body: Buffer.alloc(0) };
  }

  #peerTakesReliable(): boolean {
    const { headers } = this.request;
    return headers.mentions("Supported", "100rel") || headers.mentions("Require", "100rel");
  }

  #tagFor(sketch: SipResponse): string {
    return tagOf(sketch.headers.get("To")) ?? newTag(this.#context.random);
  }

  #futureId(): string {
    const { headers } = this.request;
    return dialogId(headers.get("Call-ID") ?? "", tagOf(headers.get("From")) ?? "");
  }

  #makeDialog(sketch: SipResponse): Dialog {
    const { flow, request } = this.transaction;
    const { headers } = request;
    const localTag = this.#tagFor(sketch);
    const remoteTag = tagOf(headers.get("From")) ?? "";
    const dialog = new Dialog(
      {
        id: this.#futureId(),
        role: "uas",
        method: "INVITE",
        callId: headers.get("Call-ID") ?? "",
        localTag,
        remoteTag,
        local: `${headers.get("To") ?? ""};tag=${localTag}`,
        remote: headers.get("From") ?? "",
      },
      this.#application,
      {
        contact: contactFor(flow),
        remoteTarget: parseNameAddr(headers.list("Contact")[0] ?? "")?.uri ?? "",
        routeSet: headers.list("Record-Route"),
        flow,
        localSeq: 0,
        remoteSeq: parseCSeq(headers.get("CSeq"))?.number,
      },
    );
    dialog.receivedInvite = this;
    this.#context.dialogs.add(dialog);
    return dialog;
  }
}

/** RFC 3262 §3: a provisional response that the application wants acknowledged. */
function isReliable(answer: SipResponse): boolean {
  return answer.status > 100 && answer.status < 200 && answer.headers.mentions("Require", "100rel");
}
