import type { Dialog } from "#sip-agent/dialog/dialog.ts";
import { answerRefresh } from "#sip-agent/dialog/session-agreement.ts";
import type { SipResponse } from "#sip-agent/message/message.ts";
import { randomUuid } from "#sip-agent/ports.ts";
import type { ServerTransaction } from "#sip-agent/transaction/runner.ts";
import { Alarm } from "./alarm.ts";
import { type Application, fromNetwork, newFromNetwork, type Reply, refusal } from "./application.ts";
import { newTag, response, taggedResponse } from "./compose.ts";
import type { Context } from "./context.ts";

/** Any request but INVITE, ACK and CANCEL that a peer sent us, inside a dialog or outside, until its final response. */
export class ReceivedRequest {
  readonly transactionId: string;
  readonly transaction: ServerTransaction;
  readonly application: Application;
  readonly #context: Context;
  readonly #dialog: Dialog | undefined;
  readonly #onDone: (request: ReceivedRequest, answer: SipResponse) => void;
  readonly #deadline: Alarm;

  constructor(
    context: Context,
    transaction: ServerTransaction,
    application: Application,
    dialog: Dialog | undefined,
    onDone: (request: ReceivedRequest, answer: SipResponse) => void,
  ) {
    this.#context = context;
    this.transaction = transaction;
    this.transactionId = randomUuid(context.random);
    this.application = application;
    this.#dialog = dialog;
    this.#onDone = onDone;
    this.#deadline = new Alarm(context.clock);
  }

  get method(): string {
    return this.transaction.request.method;
  }

  begin(): void {
    const { flow, request } = this.transaction;
    const dialog = this.#dialog;
    this.application.deliver(
      dialog === undefined
        ? newFromNetwork(request, flow, this.transactionId)
        : fromNetwork(request, flow, this.transactionId, dialog.id),
    );
    if (this.transaction.isOpen) this.#deadline.start(this.#context.patience.silentRequestMs, () => this.refuse(500));
  }

  respond(sketch: SipResponse, reply: Reply): void {
    if (!this.transaction.isOpen) {
      reply(refusal("a final response has already been sent"));
      return;
    }
    const { flow, request } = this.transaction;
    const isRefresh = request.method === "UPDATE" && sketch.status >= 200 && sketch.status < 300;
    const contact = isRefresh ? this.#dialog?.contact : undefined;
    const answer = response(request, sketch, flow, { toTag: newTag(this.#context.random), contact });
    if (isRefresh) answerRefresh(request, answer.headers, this.#dialog?.sessionTimer?.agreement);
    reply({
      ok: true,
      echo: {
        message: answer,
        protocol: flow.listener.protocol,
        address: flow.remote,
        transactionId: this.transactionId,
        dialogId: this.#dialog?.id ?? "",
      },
    });
    this.#answer(answer);
  }

  /** An answer without the application. */
  refuse(status: number): void {
    this.#answer(taggedResponse(this.transaction.request, status, this.#context.random));
  }

  stop(): void {
    this.#deadline.stop();
  }

  #answer(answer: SipResponse): void {
    this.transaction.respond(answer);
    if (answer.status < 200) return;
    this.#deadline.stop();
    this.#onDone(this, answer);
  }
}
