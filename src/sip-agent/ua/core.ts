import { isIP } from "node:net";
import type { Dialog } from "#sip-agent/dialog/dialog.ts";
import { DialogRegistry } from "#sip-agent/dialog/registry.ts";
import { routed } from "#sip-agent/dialog/route-set.ts";
import { Headers } from "#sip-agent/message/headers.ts";
import { NO_BODY, type SipMessage, type SipRequest } from "#sip-agent/message/message.ts";
import { parseUri } from "#sip-agent/message/uri.ts";
import type { Flow } from "#sip-agent/transport/listener.ts";
import type { Resolution } from "#sip-agent/transport/resolve.ts";
import { Alarm } from "./alarm.ts";
import { type Application, type Applications, type Reply, refusal, UNSOLICITED } from "./application.ts";
import { dialogRequest, PLACEHOLDER } from "./compose.ts";
import type { Context } from "./context.ts";
import { Receiver } from "./receiver.ts";
import { Sender } from "./sender.ts";
import { SessionKeeper } from "./session-keeper.ts";

/** A `sip` command of an application, as the control protocol describes it. */
export type SipCommand = {
  readonly transactionId: string;
  readonly dialogId: string;
  readonly proxyUri: string | undefined;
  readonly sketch: SipMessage;
};

export type CoreOptions = Omit<Context, "dialogs" | "flowOf" | "hangUp" | "sessionAgreed" | "whenResolved"> & {
  /** Runs something that no event handler stands above, so that a bug in it does not end the process. */
  readonly attempt: (what: string, run: () => void) => void;
};

/** The user agent core: joins receiver, sender and dialogs, and settles what happens when an application is lost. */
export class Core {
  readonly #context: Context;
  readonly #receiver: Receiver;
  readonly #sender: Sender;
  readonly #sessions: SessionKeeper;
  #stopped = false;
  /** Lost applications whose dialogs still wait for them. */
  readonly #graces = new Set<Alarm>();

  constructor(options: CoreOptions, applications: Applications) {
    this.#context = {
      ...options,
      dialogs: new DialogRegistry(),
      flowOf: (dialog, target) => this.#flowOf(dialog, target),
      whenResolved: (resolution, go) => {
        if (!(resolution instanceof Promise)) go(resolution);
        else void resolution.then((later) => this.#stopped || options.attempt("resolving failed", () => go(later)));
      },
      hangUp: (dialog, text, tell) => this.#hangUp(dialog, text, tell),
      sessionAgreed: (dialog, sender, request, response) => this.#sessions.agreed(dialog, sender, request, response),
    };
    this.#receiver = new Receiver(this.#context, applications);
    this.#sender = new Sender(this.#context);
    this.#sessions = new SessionKeeper(this.#context, this.#sender, options.minSessionS);
    options.transactions.attach({
      request: (transaction) => this.#receiver.request(transaction),
      cancel: (cancel, invite) => this.#receiver.cancel(cancel, invite),
      ack: (request, flow) => this.#receiver.ack(request, flow),
    });
  }

  get dialogCount(): number {
    return this.#context.dialogs.size;
  }

  get pendingCount(): number {
    return this.#receiver.pending + this.#sender.pending;
  }

  /** Understands a command in the order that the protocol prescribes. */
  command(command: SipCommand, application: Application, reply: Reply): void {
    const { sketch, transactionId, dialogId } = command;
    if (sketch.kind === "response") {
      if (transactionId === "") reply(refusal("response without transaction id"));
      else this.#receiver.respond(transactionId, sketch, application, reply);
    } else if (dialogId !== "") this.#sender.sendInDialog(dialogId, sketch, application, reply);
    else if (sketch.method === "CANCEL") this.#sender.cancel(transactionId, sketch, reply);
    else if (sketch.method === "ACK") reply(refusal("ACK without dialog id"));
    else this.#sender.send(sketch, command.proxyUri, application, reply);
  }

  /** Its connection is gone: what it had begun ends now, its calls after a grace time unless it takes them up again. */
  applicationLost(application: Application): void {
    this.#receiver.applicationLost(application);
    this.#sender.applicationLost(application);
    if (this.#context.dialogs.ownedBy(application).length === 0) return;
    const grace = new Alarm(this.#context.clock);
    this.#graces.add(grace);
    grace.start(this.#context.patience.lostApplicationMs, () => {
      this.#graces.delete(grace);
      for (const dialog of this.#context.dialogs.ownedBy(application)) {
        this.#context.counters.add("dialogs_orphaned");
        this.#hangUp(dialog, "application lost", false);
      }
    });
  }

  stop(): void {
    this.#stopped = true;
    for (const grace of this.#graces) grace.stop();
    this.#graces.clear();
    this.#receiver.stop();
    this.#sender.stop();
    this.#context.dialogs.clear();
  }

  #hangUp(dialog: Dialog, text: string, tell: boolean): void {
    this.#context.dialogs.remove(dialog);
    if (dialog.sentInvite?.isPending) dialog.sentInvite.cancel(new Headers());
    dialog.receivedInvite?.hungUp(dialog.flow);
    this.#context.whenResolved(this.#flowOf(dialog, dialog.remoteTarget), (resolution) => {
      this.#sendOwnBye(dialog, resolution.ok ? resolution.flow : dialog.flow, text, tell);
    });
  }

  #sendOwnBye(dialog: Dialog, flow: Flow, text: string, tell: boolean): void {
    const headers = new Headers().add("Reason", `SIP ;cause=200 ;text="${text}"`);
    const sketch: SipRequest = { kind: "request", method: "BYE", uri: PLACEHOLDER, headers, body: NO_BODY };
    dialog.localSeq += 1;
    const bye = dialogRequest(dialog, sketch, flow, dialog.localSeq, this.#context.random);
    const ignore = (): void => undefined;
    this.#context.transactions.request(bye, flow, { response: ignore, failure: ignore });
    if (!tell || !dialog.owner.alive) return;
    dialog.owner.deliver({
      source: "application",
      message: bye,
      protocol: flow.listener.protocol,
      remote: flow.remote,
      transactionId: UNSOLICITED,
      dialogId: dialog.id,
    });
  }

  /**
   * Where a request of a dialog goes. A route is followed. Without one, a living TCP connection of the dialog is used again,
   * and a peer whose Contact is not the address that it sends from is answered where it sends from, on the same transport.
   */
  #flowOf(dialog: Dialog, target: string): Resolution | Promise<Resolution> {
    const { flow } = dialog;
    const { nextHop } = routed(target, dialog.routeSet);
    if (nextHop !== dialog.remoteTarget) return this.#context.resolve(nextHop);
    if (flow.connection?.usable) return { ok: true, flow };
    if (this.#context.natCorrection && this.#isBehindNat(dialog)) return { ok: true, flow };
    return this.#context.resolve(nextHop);
  }

  #isBehindNat(dialog: Dialog): boolean {
    const contact = parseUri(dialog.remoteTarget);
    // A host name says nothing about NAT.
    if (contact === undefined || isIP(contact.host) === 0 || dialog.flow.listener.protocol !== "udp") return false;
    const { host, port } = dialog.flow.remote;
    if (contact.host !== host) return true;
    return dialog.facts.role === "uas" && (contact.port ?? 5060) !== port;
  }
}
