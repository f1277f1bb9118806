import type { Clock, Log, SipLegEvents } from "#engine/ports.ts";
import { ACCEPT, ALLOW, capabilities } from "./capabilities.ts";
import { parseInfoDigit } from "./info-digit.ts";
import type { IncomingRequest, ResponseOptions } from "./message.ts";

/** How long the media side may think about an offer before it is refused; the sender repeats an INVITE for 32 s. */
const OFFER_TIMEOUT_MS = 5_000;

type OfferEvents = Pick<SipLegEvents, "onReoffer" | "onReofferWanted" | "onReofferAnswered" | "onDigit">;

export interface InDialogParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly events: OfferEvents;
  /** False once the call is over, or is being ended. */
  readonly alive: () => boolean;
}

/** Takes the requests of a PBX inside an established call, all but BYE. */
export class InDialog {
  readonly #parts: InDialogParts;
  /** Ends the offer of the PBX that is being answered: there can be one at a time (RFC 3264 §4). */
  #concludeOffer: ((outcome: () => void) => void) | undefined;
  /** Our offer went out in a 200; the ACK brings the answer (RFC 3261 §14.2). */
  #answerInAck = false;

  constructor(parts: InDialogParts) {
    this.#parts = parts;
  }

  handle(request: IncomingRequest): void {
    switch (request.method) {
      case "INVITE":
        if (request.body === "") this.#offerWanted(request);
        else this.#offered(request);
        return;
      case "UPDATE":
        if (request.body === "") request.respond(200, { headers: timerHeaders(request) });
        else this.#offered(request);
        return;
      case "ACK":
        this.#acknowledged(request);
        return;
      case "INFO":
        this.#info(request);
        return;
      case "OPTIONS":
        request.respond(200, { headers: { ...capabilities, Accept: ACCEPT } });
        return;
      case "REFER":
        this.#parts.log.info({}, "transfer by the pbx declined");
        request.respond(603, { reason: "Transfer is not supported" });
        return;
      case "NOTIFY":
        // RFC 6665 §8.2.1: we have subscribed to nothing.
        request.respond(489);
        return;
      default:
        request.respond(405, { headers: { Allow: ALLOW } });
    }
  }

  /** The call is over. RFC 3261 §15.1.2: what is pending then is answered with 487. */
  close(): void {
    this.#concludeOffer?.(() => undefined);
  }

  #offered(request: IncomingRequest): void {
    if (request.contentType !== "application/sdp") {
      request.respond(415, { headers: { Accept: ACCEPT } });
      return;
    }
    this.#negotiate(
      request,
      () => this.#parts.events.onReoffer(request.body),
      (answer) => {
        if (answer === undefined) {
          request.respond(488, { headers: { Warning: '304 ponte "Media type not available"' } });
          return;
        }
        respondWithSdp(request, answer);
      },
    );
  }

  #offerWanted(request: IncomingRequest): void {
    this.#negotiate(
      request,
      () => this.#parts.events.onReofferWanted(),
      (offer) => {
        if (offer === undefined) request.respond(500);
        else {
          this.#answerInAck = true;
          respondWithSdp(request, offer);
        }
      },
    );
  }

  /** Waits for the media side, and lets one offer be open at a time. */
  #negotiate(
    request: IncomingRequest,
    ask: () => Promise<string | undefined>,
    done: (sdp: string | undefined) => void,
  ): void {
    if (this.#concludeOffer !== undefined) {
      // RFC 3261 §14.2, RFC 3311 §5.2.
      request.respond(500, { reason: "Offer in progress", headers: { "Retry-After": "1" } });
      return;
    }
    let open = true;
    const conclude = (outcome: () => void): void => {
      if (!open) return;
      open = false;
      this.#concludeOffer = undefined;
      cancelTimer();
      if (this.#parts.alive()) outcome();
      else request.respond(487);
    };
    this.#concludeOffer = conclude;
    // The engine has answered both the CANCEL and the request.
    request.onCancel(() => conclude(() => undefined));
    const refuse = (why: string): void => {
      this.#parts.log.warn({ method: request.method, why }, "offer of the pbx not answered");
      request.respond(500);
    };
    const cancelTimer = this.#parts.clock.after(OFFER_TIMEOUT_MS, () => conclude(() => refuse("no answer in time")));
    ask().then(
      (sdp) => conclude(() => done(sdp)),
      (error: unknown) => conclude(() => refuse(error instanceof Error ? error.message : String(error))),
    );
  }

  #acknowledged(request: IncomingRequest): void {
    if (!this.#answerInAck) return;
    this.#answerInAck = false;
    if (request.body !== "") this.#parts.events.onReofferAnswered(request.body);
    else this.#parts.log.warn({}, "ack without an answer to our offer");
  }

  #info(request: IncomingRequest): void {
    const digit = parseInfoDigit(request.contentType, request.body);
    if (digit !== undefined) {
      request.respond(200);
      this.#parts.events.onDigit(digit.digit, digit.durationMs);
    } else if (request.body === "") request.respond(200);
    else request.respond(415, { headers: { Accept: ACCEPT } });
  }
}

function respondWithSdp(request: IncomingRequest, sdp: string): void {
  const options: ResponseOptions = {
    headers: { ...capabilities, ...timerHeaders(request), "Content-Type": "application/sdp" },
    body: sdp,
  };
  request.respond(200, options);
}

/**
 * RFC 4028 §9: a request that asks for a session timer gets it back in the 2xx, with a refresher: whom the request named, else its
 * sender. `Require: timer` only where the sender refreshes.
 */
export function timerHeaders(request: Pick<IncomingRequest, "header">): Record<string, string> {
  const wanted = request.header("Session-Expires");
  const seconds = /^\s*(\d{1,9})/.exec(wanted ?? "")?.[1];
  if (seconds === undefined) return {};
  const supported = /(^|[\s,])timer([\s,]|$)/i.test(request.header("Supported") ?? "");
  const named = /;\s*refresher\s*=\s*(uac|uas)/i.exec(wanted ?? "")?.[1]?.toLowerCase();
  const refresher = supported ? (named ?? "uac") : "uas";
  return {
    "Session-Expires": `${seconds};refresher=${refresher}`,
    ...(refresher === "uac" ? { Require: "timer" } : {}),
  };
}
