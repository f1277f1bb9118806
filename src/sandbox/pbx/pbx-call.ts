import { randomBytes } from "node:crypto";
import type { CodecName, SipMedia } from "#core/sdp/session.ts";
import { answerSipReoffer, readSipAnswer } from "#core/sdp/sip-answer.ts";
import { type SipLocal, writeSipOffer } from "#core/sdp/sip-offer.ts";
import type { SipConnection, SipConnectionOptions } from "#sip/connection.ts";
import { q850Reason } from "#sip/header.ts";
import { timerHeaders } from "#sip/in-dialog.ts";
import { parseInfoDigit } from "#sip/info-digit.ts";
import type { IncomingRequest } from "#sip/message.ts";
import { RtpEndpoint, type Source } from "./rtp-endpoint.ts";

export type Clock = SipConnectionOptions["clock"];
export type Log = SipConnectionOptions["log"];

export interface PbxCallParts {
  readonly connection: SipConnection;
  readonly clock: Clock;
  readonly log: Log;
  /** Where RTP is taken. */
  readonly host: string;
  readonly onDialog: (dialogId: string, call: PbxCall) => void;
  readonly onOver: (call: PbxCall) => void;
}

/** Ends a script whose call is over. */
export class CallOver extends Error {
  override readonly name = "CallOver";
}

const ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE";

/** RFC 3261 §14.1: who meets the other's offer half way tries again after this. */
const GLARE_WAIT_MS = 1_000;

/**
 * A call that came in, as the scripts of the numbers see it. Everything that takes time throws `CallOver` when the caller has
 * gone meanwhile.
 */
export class PbxCall {
  readonly #parts: PbxCallParts;
  readonly #invite: IncomingRequest;
  readonly #rtp: RtpEndpoint;
  readonly #far: SipMedia;
  readonly #answerSdp: string;
  readonly #waiting = new Set<(over: CallOver) => void>();
  readonly #digits: string[] = [];
  #local: SipLocal;
  #state: "ringing" | "up" | "over" = "ringing";
  #dialogId = "";
  #digitListener: (() => void) | undefined;

  private constructor(
    parts: PbxCallParts,
    invite: IncomingRequest,
    rtp: RtpEndpoint,
    session: { readonly sdp: string; readonly media: SipMedia; readonly local: SipLocal },
  ) {
    this.#parts = parts;
    this.#invite = invite;
    this.#rtp = rtp;
    this.#far = session.media;
    this.#answerSdp = session.sdp;
    this.#local = session.local;
    rtp.setFar(session.media);
  }

  /** Understands the offer and opens a port for it; undefined when there is no common format, or no caller any more. */
  static async create(
    parts: PbxCallParts,
    invite: IncomingRequest,
    codecs: readonly CodecName[],
  ): Promise<PbxCall | undefined> {
    let call: PbxCall | undefined;
    let cancelled = false;
    invite.onCancel(() => {
      cancelled = true;
      if (call !== undefined) call.#end();
    });
    const rtp = await RtpEndpoint.open(parts.clock, parts.host, randomBytes(12), (digit) => call?.take(digit));
    const local: SipLocal = {
      address: parts.host,
      port: rtp.port,
      codecs,
      sessionId: String(randomBytes(6).readUIntBE(0, 6)),
      version: 0,
      direction: "sendrecv",
    };
    const session = answerSipReoffer(invite.body, nowhere, local);
    if (!session.ok || cancelled) {
      rtp.close();
      if (!session.ok) parts.log.info({ problem: session.problem.text }, "demo pbx: offer refused");
      return undefined;
    }
    call = new PbxCall(parts, invite, rtp, session.value);
    return call;
  }

  ring(): void {
    this.#alive();
    this.#invite.respond(180, { headers: { Allow: ALLOW } }, (sent) => this.#dialog(sent?.dialogId));
  }

  /** Audio before the answer. */
  earlyMedia(source: Source): void {
    this.#alive();
    this.#invite.respond(183, this.#withSdp(this.#answerSdp), (sent) => this.#dialog(sent?.dialogId));
    this.#rtp.play(source);
  }

  async answer(): Promise<void> {
    this.#alive();
    const headers = timerHeaders(this.#invite);
    const sent = await this.#until<boolean>((resolve) => {
      const { headers: more, body } = this.#withSdp(this.#answerSdp);
      this.#invite.respond(200, { headers: { ...more, ...headers }, body }, (response) => {
        this.#dialog(response?.dialogId);
        resolve(response !== undefined);
      });
    });
    if (!sent) {
      this.#end();
      throw new CallOver();
    }
    this.#state = "up";
  }

  play(source: Source): void {
    this.#alive();
    this.#rtp.play(source);
  }

  /** Sends a key as telephone-event; resolves when it has been sent. */
  async press(digit: string, durationMs: number): Promise<void> {
    this.#alive();
    this.#rtp.press(digit, durationMs);
    await this.wait(durationMs + 60);
  }

  wait(ms: number): Promise<void> {
    let cancel: () => void = () => undefined;
    const waited = this.#until<void>((resolve) => {
      cancel = this.#parts.clock.after(ms, () => resolve(undefined));
    });
    return waited.finally(() => cancel());
  }

  /** Until the caller hangs up. */
  forever(): Promise<never> {
    return this.#until<never>(() => undefined);
  }

  /** Keys up to `#` (which is not among them), `most` keys, or `ms` of waiting. */
  async readDigits(most: number, ms: number): Promise<string> {
    let cancel: () => void = () => undefined;
    let late = false;
    let digits = "";
    try {
      while (digits.length < most && !late) {
        const digit = this.#digits.shift();
        if (digit === "#") break;
        if (digit !== undefined) digits += digit;
        else {
          await this.#until<void>((resolve) => {
            this.#digitListener = () => resolve(undefined);
            cancel();
            cancel = this.#parts.clock.after(ms, () => {
              late = true;
              resolve(undefined);
            });
          });
        }
      }
    } finally {
      cancel();
      this.#digitListener = undefined;
    }
    return digits;
  }

  /** A key came, by RTP or INFO. */
  take(digit: string): void {
    if (digit === "" || this.#digits.length > 100) return;
    this.#digits.push(digit);
    this.#digitListener?.();
  }

  /** Offers anew inside the dialog. True when the caller took it. */
  async reoffer(
    method: "INVITE" | "UPDATE",
    change: { readonly codecs?: readonly CodecName[]; readonly direction?: SipLocal["direction"] },
  ): Promise<boolean> {
    this.#alive();
    this.#local = { ...this.#local, ...change, version: this.#local.version + 1 };
    let outcome = await this.#offer(method);
    if (outcome === 491) {
      await this.wait(GLARE_WAIT_MS);
      outcome = await this.#offer(method);
    }
    this.#parts.log.debug({ method, status: outcome }, "demo pbx: offered anew");
    return outcome < 300;
  }

  /** Resolves when the response is on its way. */
  async refuse(status: number, q850: number): Promise<void> {
    if (this.#state !== "ringing") return;
    const sent = new Promise<void>((resolve) => {
      this.#invite.respond(status, { headers: { Reason: `Q.850;cause=${q850}` } }, () => resolve());
    });
    this.#end();
    await sent;
  }

  /** Resolves when the caller has taken it, or the engine has given up. */
  async hangUp(q850: number, text: string): Promise<void> {
    if (this.#state !== "up") return;
    const taken = new Promise<void>((resolve) => {
      this.#parts.connection.send(
        { method: "BYE", dialogId: this.#dialogId, headers: { Reason: q850Reason(q850, text) } },
        { onFailed: () => resolve(), onAnswer: () => resolve() },
      );
    });
    this.#end();
    await taken;
  }

  /** Ends the call in whatever state it is. */
  async stop(): Promise<void> {
    await this.refuse(480, 41);
    await this.hangUp(41, "demo pbx stops");
  }

  /** A request inside the dialog. */
  handle(request: IncomingRequest): void {
    switch (request.method) {
      case "ACK":
        return;
      case "BYE":
        request.respond(200);
        this.#end();
        return;
      case "INFO": {
        const digit = parseInfoDigit(request.contentType, request.body);
        request.respond(200);
        if (digit !== undefined) this.take(digit.digit);
        return;
      }
      case "INVITE":
      case "UPDATE":
        this.#reoffered(request);
        return;
      default:
        request.respond(request.method === "OPTIONS" ? 200 : 405, { headers: { Allow: ALLOW } });
    }
  }

  #offer(method: "INVITE" | "UPDATE"): Promise<number> {
    return this.#until<number>((resolve) => {
      this.#parts.connection.send(
        { method, dialogId: this.#dialogId, ...this.#withSdp(writeSipOffer(this.#local)) },
        {
          onFailed: () => resolve(481),
          onAnswer: (answer, acknowledge) => {
            if (answer.status < 200) return;
            if (answer.status < 300) {
              if (method === "INVITE") acknowledge();
              const read = readSipAnswer(answer.body, this.#local);
              if (read.ok) this.#rtp.setFar(read.value);
            }
            resolve(answer.status);
          },
        },
      );
    });
  }

  #reoffered(request: IncomingRequest): void {
    if (request.body === "") {
      if (request.method === "UPDATE") request.respond(200, { headers: timerHeaders(request) });
      else request.respond(200, this.#withSdp(writeSipOffer(this.#local)));
      return;
    }
    const session = answerSipReoffer(request.body, this.#far, this.#local);
    if (!session.ok) {
      request.respond(488);
      return;
    }
    this.#local = session.value.local;
    this.#rtp.setFar(session.value.media);
    const { headers, body } = this.#withSdp(session.value.sdp);
    request.respond(200, { headers: { ...headers, ...timerHeaders(request) }, body });
  }

  #withSdp(body: string): { readonly headers: Readonly<Record<string, string>>; readonly body: string } {
    return { headers: { Allow: ALLOW, Supported: "timer", "Content-Type": "application/sdp" }, body };
  }

  #dialog(dialogId: string | undefined): void {
    if (dialogId === undefined || dialogId === "" || this.#state === "over") return;
    this.#dialogId = dialogId;
    this.#parts.onDialog(dialogId, this);
  }

  #alive(): void {
    if (this.#state === "over") throw new CallOver();
  }

  /** A promise that also ends with the call. */
  #until<T>(start: (resolve: (value: T) => void) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#state === "over") {
        reject(new CallOver());
        return;
      }
      this.#waiting.add(reject);
      start((value) => {
        this.#waiting.delete(reject);
        resolve(value);
      });
    });
  }

  #end(): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#rtp.close();
    this.#parts.onOver(this);
    for (const reject of this.#waiting) reject(new CallOver());
    this.#waiting.clear();
  }
}

/** What the caller's media was before its first offer. */
const nowhere: SipMedia = {
  address: "0.0.0.0",
  port: 9,
  rtcpPort: 9,
  audio: { codec: "PCMU", payloadType: 0, clockRate: 8_000 },
  direction: "inactive",
  ptimeMs: 20,
};
