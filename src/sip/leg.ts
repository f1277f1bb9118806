import { type Disposition, q850OfResult } from "#core/call/disposition.ts";
import type { Clock, DialRequest, Log, SipLegEvents, SipLegPort } from "#engine/ports.ts";
import { ALLOW, capabilities } from "./capabilities.ts";
import type { SipConnection } from "./connection.ts";
import { DigestSession } from "./digest-session.ts";
import { cleanHeaders, q850Reason, whyEnded } from "./header.ts";
import { InDialog } from "./in-dialog.ts";
import type { Answer, Headers, IncomingRequest, SentRequest } from "./message.ts";
import { longerSession, type SessionWish, sessionHeaders } from "./session-timer.ts";
import { identityHeaders, type TrunkOptions, trunkUri } from "./trunk.ts";

export interface LegLimits {
  /** A PBX that has not said a word after this long is asked by OPTIONS whether it is there. */
  readonly probeAfterMs: number;
  /** A PBX that has answered neither INVITE, not even by 100, nor OPTIONS after this long is not there: the caller must not wait for nothing. */
  readonly noResponseMs: number;
  /** How long our CANCEL or BYE may stay unanswered before the call counts as over. */
  readonly goodbyeMs: number;
}

export interface LegParts {
  readonly connection: Pick<SipConnection, "send">;
  readonly clock: Clock;
  readonly log: Log;
  readonly trunk: TrunkOptions;
  readonly request: DialRequest;
  readonly events: SipLegEvents;
  readonly limits: LegLimits;
  readonly session: SessionWish;
  /** Asks the PBX by OPTIONS whether it is there; false when its silence means that it is not. */
  readonly probe: (timeoutMs: number) => Promise<boolean>;
  /** The first response of the PBX, 100 included; undefined when the engine says that there was none. */
  readonly onHeard: (status: number | undefined) => void;
  readonly onDialog: (dialogId: string, leg: SipLeg) => void;
  /** The last event has been told. */
  readonly onOver: (leg: SipLeg) => void;
}

type State =
  /** The engine has not yet said what it sent. */
  | { readonly name: "trying" }
  | { readonly name: "inviting"; readonly invite: SentRequest }
  | { readonly name: "confirmed"; readonly dialogId: string }
  | { readonly name: "over" };

/**
 * A call that we placed, from INVITE to the last response.
 *
 *     trying ──sent──▶ inviting ──2xx──▶ confirmed ──BYE──▶ over
 *        └────────────────┴── failure, CANCEL answered ──────┘
 *
 * Once it is over, a late 2xx is still acknowledged and ended by BYE: the request's own handlers see to it.
 */
export class SipLeg implements SipLegPort {
  readonly #parts: LegParts;
  readonly #inDialog: InDialog;
  readonly #digest: DigestSession | undefined;
  #log: Log;
  #state: State = { name: "trying" };
  #session: SessionWish;
  #goodbye: Disposition | undefined;
  #heard = false;
  /** SDP of a provisional response, for a PBX that does not repeat it in its 200. */
  #earlySdp = "";
  #sipCallId = "";
  readonly #timers = new Set<() => void>();
  readonly #ended: Promise<void>;
  #tellEnded: () => void = () => undefined;

  constructor(parts: LegParts) {
    this.#parts = parts;
    this.#log = parts.log;
    this.#session = parts.session;
    this.#ended = new Promise((resolve) => {
      this.#tellEnded = resolve;
    });
    this.#inDialog = new InDialog({
      clock: parts.clock,
      log: parts.log,
      events: parts.events,
      alive: () => this.#state.name === "confirmed" && this.#goodbye === undefined,
    });
    const { username, password } = parts.trunk;
    this.#digest = username === undefined || password === undefined ? undefined : new DigestSession(username, password);
  }

  /** Sends the INVITE. Not to be called before `dial` has returned. */
  begin(): void {
    if (this.#state.name === "over") return;
    if (this.#goodbye !== undefined) {
      this.#cancelled();
      return;
    }
    this.#after(this.#parts.limits.probeAfterMs, () => this.#askWhetherThere());
    this.#invite({});
  }

  /** What would come of the call cannot come any more. */
  fail(status: number, reason: string): void {
    this.#settle(() => this.#parts.events.onFailed({ status, reason }));
  }

  hangUp(disposition: Disposition): Promise<void> {
    if (this.#state.name === "over" || this.#goodbye !== undefined) return this.#ended;
    this.#goodbye = disposition;
    if (this.#state.name === "confirmed") this.#bye(this.#state.dialogId);
    else {
      if (this.#state.name === "inviting") this.#state.invite.cancel(reasonHeader(disposition));
      this.#after(this.#parts.limits.goodbyeMs, () => this.#cancelled());
    }
    return this.#ended;
  }

  /** The connection to the engine was lost, and every transaction and dialog with it. */
  engineLost(): string | undefined {
    const dialogId = this.#state.name === "confirmed" ? this.#state.dialogId : undefined;
    if (dialogId === undefined) this.fail(503, "SIP engine lost");
    else this.#settle(() => this.#parts.events.onEnded({ by: "agent", reason: "SIP engine lost" }));
    return dialogId;
  }

  /** A request in this call's dialog. */
  handle(request: IncomingRequest): void {
    if (request.method === "BYE") {
      request.respond(200);
      const by = request.fromEngine ? "agent" : "pbx";
      this.#settle(() => this.#parts.events.onEnded({ by, ...whyEnded(request.header("Reason")) }));
    } else if (this.#state.name === "confirmed") this.#inDialog.handle(request);
    else this.#early(request);
  }

  #invite(more: Headers): void {
    const { connection, request, trunk } = this.#parts;
    const { clean, bad } = cleanHeaders(request.headers);
    if (bad.length > 0) this.#log.warn({ headers: bad }, "sip headers with impossible names left out");
    connection.send(
      {
        method: "INVITE",
        uri: trunkUri(trunk, request.target),
        headers: {
          ...clean,
          ...identityHeaders(trunk, request),
          ...capabilities,
          ...sessionHeaders(this.#session),
          "Content-Type": "application/sdp",
          ...more,
        },
        body: request.sdp,
      },
      {
        onSent: (invite) => this.#sent(invite),
        onFailed: (reason) => this.fail(503, reason),
        onAnswer: (answer, acknowledge) => this.#answered(answer, acknowledge),
        onUpdate: (update) => this.handle(update),
      },
    );
  }

  #sent(invite: SentRequest): void {
    this.#sipCallId = invite.header("Call-ID") ?? "";
    this.#log = this.#parts.log.child({ sip_call_id: this.#sipCallId });
    this.#log.debug({ trunk: this.#parts.trunk.name }, "invite sent");
    if (this.#state.name === "over" || this.#goodbye !== undefined) invite.cancel(reasonHeader(this.#goodbye));
    if (this.#state.name !== "over") this.#state = { name: "inviting", invite };
  }

  #answered(answer: Answer, acknowledge: () => void): void {
    this.#listen(answer);
    // It says that the PBX is there (RFC 3261 §8.1.3.1), and nothing of the call.
    if (answer.status === 100) return;
    if (answer.status < 200) this.#progress(answer, acknowledge);
    else if (answer.status < 300) {
      acknowledge();
      this.#accepted(answer);
    } else if (this.#goodbye !== undefined) this.#cancelled();
    else if (!this.#authenticate(answer) && !this.#askForLonger(answer)) this.#refused(answer);
  }

  /** Whatever the PBX says, it is there; the engine's own word of a final response says that it is not. */
  #listen({ status, fromNetwork }: Answer): void {
    if (this.#heard) return;
    this.#heard = fromNetwork;
    this.#parts.onHeard(fromNetwork ? status : undefined);
  }

  #progress(answer: Answer, acknowledge: () => void): void {
    if (answer.header("RSeq") !== undefined) acknowledge();
    if (answer.body !== "") this.#earlySdp = answer.body;
    if (this.#state.name !== "inviting" || this.#goodbye !== undefined) return;
    this.#parts.onDialog(answer.dialogId, this);
    this.#parts.events.onProgress(answer.status, answer.body !== "");
  }

  #accepted(answer: Answer): void {
    const sdp = answer.body === "" ? this.#earlySdp : answer.body;
    if (this.#state.name === "over" || this.#goodbye !== undefined) {
      this.#sendBye(answer.dialogId, this.#goodbye);
      this.#cancelled();
    } else if (sdp === "") {
      this.#sendBye(answer.dialogId, undefined);
      this.fail(488, "the PBX answered without SDP");
    } else {
      this.#clearTimers();
      this.#state = { name: "confirmed", dialogId: answer.dialogId };
      this.#parts.onDialog(answer.dialogId, this);
      this.#log.debug({ status: answer.status }, "invite answered");
      this.#parts.events.onAnswered({ sdp, sipCallId: this.#sipCallId });
    }
  }

  /** True when the INVITE goes out again, with credentials. */
  #authenticate(answer: Answer): boolean {
    if (this.#state.name !== "inviting" || this.#digest === undefined) return false;
    const { invite } = this.#state;
    const asked = { method: "INVITE", uri: invite.uri, body: this.#parts.request.sdp };
    const credentials = this.#digest.answer(answer, asked);
    return credentials !== undefined && this.#again(invite, credentials);
  }

  /** True when the INVITE goes out again, with the session interval that the PBX demands. */
  #askForLonger(answer: Answer): boolean {
    const longer = longerSession(this.#session, answer);
    if (longer === undefined || this.#state.name !== "inviting") return false;
    this.#session = longer;
    const { invite } = this.#state;
    const asked = { method: "INVITE", uri: invite.uri, body: this.#parts.request.sdp };
    return this.#again(invite, this.#digest?.repeat(asked) ?? {});
  }

  /** RFC 3261 §22.2, RFC 4028 §7.3: the same call, one number further. */
  #again(invite: SentRequest, more: Headers): boolean {
    const sequence = Number.parseInt(invite.header("CSeq") ?? "", 10);
    if (!Number.isSafeInteger(sequence)) return false;
    this.#state = { name: "trying" };
    this.#invite({
      ...more,
      From: invite.header("From") ?? "",
      "Call-ID": this.#sipCallId,
      CSeq: `${sequence + 1} INVITE`,
    });
    return true;
  }

  #refused(answer: Answer): void {
    const { q850 } = whyEnded(answer.header("Reason"));
    const reason = answer.fromNetwork ? answer.reason : `${answer.reason || "no response"} (from the SIP engine)`;
    this.#settle(() =>
      this.#parts.events.onFailed({ status: answer.status, reason, ...(q850 === undefined ? {} : { q850 }) }),
    );
  }

  #cancelled(): void {
    this.fail(487, "cancelled by us");
  }

  /** RFC 3261 §12: before the answer there are only UPDATE and what a confused peer sends. */
  #early(request: IncomingRequest): void {
    if (request.method === "ACK") return;
    if (this.#state.name === "over") request.respond(481);
    else if (request.method !== "UPDATE") request.respond(405, { headers: { Allow: ALLOW } });
    // RFC 3311 §5.2: our own offer is still open.
    else request.respond(request.body === "" ? 200 : 491);
  }

  #bye(dialogId: string): void {
    const ended = (): void =>
      this.#settle(() => this.#parts.events.onEnded({ by: "agent", reason: "hung up by ponte" }));
    this.#after(this.#parts.limits.goodbyeMs, ended);
    this.#sendBye(dialogId, this.#goodbye, ended);
  }

  #sendBye(dialogId: string, disposition: Disposition | undefined, done?: () => void, more: Headers = {}): void {
    let uri = "";
    this.#parts.connection.send(
      { method: "BYE", dialogId, headers: { ...reasonHeader(disposition), ...more } },
      {
        onSent: (bye) => {
          uri = bye.uri;
        },
        onFailed: () => done?.(),
        onAnswer: (answer) => {
          if (answer.status < 200) return;
          const credentials = this.#digest?.answer(answer, { method: "BYE", uri, body: "" });
          if (credentials === undefined) done?.();
          else this.#sendBye(dialogId, disposition, done, credentials);
        },
      },
    );
  }

  #askWhetherThere(): void {
    if (this.#heard || this.#goodbye !== undefined) return;
    const { noResponseMs, probeAfterMs } = this.#parts.limits;
    this.#parts.probe(Math.max(1, noResponseMs - probeAfterMs)).then((there) => {
      if (there || this.#heard || this.#goodbye !== undefined || this.#state.name === "over") return;
      if (this.#state.name === "inviting") this.#state.invite.cancel({});
      this.fail(408, `no response from ${this.#parts.trunk.host}:${this.#parts.trunk.port}`);
    });
  }

  /** Tells the last event, once. */
  #settle(tell: () => void): void {
    if (this.#state.name === "over") return;
    this.#state = { name: "over" };
    this.#clearTimers();
    this.#inDialog.close();
    this.#parts.onOver(this);
    try {
      tell();
    } finally {
      this.#tellEnded();
    }
  }

  #after(ms: number, task: () => void): void {
    const cancel = this.#parts.clock.after(ms, () => {
      this.#timers.delete(cancel);
      task();
    });
    this.#timers.add(cancel);
  }

  #clearTimers(): void {
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
  }
}

function reasonHeader(disposition: Disposition | undefined): Headers {
  if (disposition === undefined) return {};
  const cause = disposition.q850 ?? q850OfResult[disposition.result];
  return { Reason: q850Reason(cause, disposition.cause.replaceAll("_", " ")) };
}
