import { type Clock, Timers } from "#sandbox/clock.ts";
import { type Random, randomInteger } from "#sandbox/random.ts";
import type { RelayCall, RelayEvents, RelayPort, RelayStatistics } from "#sandbox/relay/ports.ts";
import type { CallWebhooks } from "./call-webhooks.ts";
import type { CallErrorCode } from "./errors.ts";
import type { MetaLog } from "./log.ts";
import type { Modes } from "./modes.ts";
import type { BusinessNumber, WhatsAppUser } from "./numbers.ts";
import type { CallFacts } from "./payload.ts";
import type { KnownCall } from "./rule.ts";
import type { SdpView } from "./sdp-view.ts";
import { newWacid } from "./wacid.ts";

/** Why a call ended, as the WhatsApp user sees it. */
export interface CallEnd {
  readonly reason: "hung_up" | "cancelled" | "rejected" | "not_answered" | "failed" | "unavailable";
  readonly by: "user" | "business" | "whatsapp";
  /** Absent when the call was never picked up. */
  readonly durationMs?: number;
  readonly code?: CallErrorCode;
}

/** The phone of the user: what it is told. Called in order; `onEnded` last, once. */
export interface UserPhone {
  /** The display changes from "Calling" to "Ringing": pre_accept came. */
  onRinging(): void;
  /** The timer starts. */
  onPickedUp(): void;
  onEnded(end: CallEnd): void;
  /** A plain RTP packet of the business; valid only during the call. */
  onRtp(packet: Buffer): void;
}

/** What the user can do with a call. */
export interface PlacedCall {
  readonly wacid: string;
  sendRtp(packet: Buffer): void;
  hangUp(): void;
  statistics(): RelayStatistics;
}

export interface CallRequest {
  readonly user: WhatsAppUser;
  readonly phoneNumberId: string;
  /** From a call button or a deep link. */
  readonly ctaPayload?: string;
  readonly deeplinkPayload?: string;
  readonly modes?: Partial<Modes>;
}

/** A user-initiated call beyond this fails at the user without any webhook. */
const MAX_LIVE_CALLS_PER_NUMBER = 1000;

/** Ended calls are remembered, so that late requests for them get their own error. */
const MAX_ENDED_CALLS = 1000;

interface LiveCall extends KnownCall {
  readonly wacid: string;
  readonly number: BusinessNumber;
  readonly user: WhatsAppUser;
  readonly modes: Modes;
  phone: UserPhone;
  readonly request: CallRequest;
  state: KnownCall["state"];
  rangOut: boolean;
  answer: string | undefined;
  relay: RelayCall | undefined;
  /** Of the relay, when the call has ended. */
  statistics: RelayStatistics;
  opaque: string | undefined;
  /** When the user's timer started. */
  pickedUpAt: number | undefined;
  stopRinging: () => void;
}

interface Options {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: MetaLog;
  readonly relay: RelayPort;
  readonly webhooks: CallWebhooks;
  readonly ringMs: { readonly min: number; readonly max: number };
}

/**
 * The user-initiated calls of the simulated Meta.
 *
 *     offered ──pre_accept──▶ pre_accepted ──accept──▶ accepted
 *        └── reject, terminate, the user hangs up, ring time, dead media ──┴──▶ ended, and one terminate webhook
 */
export class Calls {
  readonly #options: Options;
  readonly #timers: Timers;
  readonly #calls = new Map<string, LiveCall>();
  readonly #ended: string[] = [];

  constructor(options: Options) {
    this.#options = options;
    this.#timers = new Timers(options.clock);
  }

  find(wacid: unknown): KnownCall | undefined {
    return typeof wacid === "string" ? this.#calls.get(wacid) : undefined;
  }

  /** Calls that have not ended. */
  live(): number {
    return this.#calls.size - this.#ended.length;
  }

  /** Throws what the relay throws when it is not started. */
  place(request: CallRequest, number: BusinessNumber, modes: Modes, phone: UserPhone): PlacedCall {
    const { random } = this.#options;
    const shown = request.user.hidesNumber === true ? request.user.userId : request.user.number;
    const call: LiveCall = {
      wacid: newWacid(random, shown, number.displayPhoneNumber),
      phoneNumberId: number.phoneNumberId,
      number,
      user: request.user,
      modes,
      phone,
      request,
      state: "offered",
      rangOut: false,
      answer: undefined,
      relay: undefined,
      statistics: noStatistics,
      opaque: undefined,
      pickedUpAt: undefined,
      stopRinging: () => undefined,
    };
    const full = this.#liveOf(number) >= MAX_LIVE_CALLS_PER_NUMBER;
    if (!full) call.relay = this.#options.relay.open(modes, this.#mediaOf(call));
    this.#calls.set(call.wacid, call);
    this.#step(call, "placed", `to ${number.displayPhoneNumber}`);
    if (full) this.#timers.after(0, () => this.#finish(call, { reason: "unavailable", by: "whatsapp" }));
    else this.#ring(call);
    return {
      wacid: call.wacid,
      sendRtp: (packet) => {
        if (call.state !== "ended") call.relay?.sendRtp(packet);
      },
      hangUp: () => this.#end(call, { reason: call.pickedUpAt === undefined ? "cancelled" : "hung_up", by: "user" }),
      statistics: () => call.relay?.statistics() ?? call.statistics,
    };
  }

  preAccept(wacid: string, sdp: string, view: SdpView, connects: boolean): void {
    const call = this.#calls.get(wacid);
    if (call === undefined) return;
    call.state = "pre_accepted";
    call.answer = sdp;
    this.#step(call, "ringing");
    call.phone.onRinging();
    call.relay?.answer(view, connects);
  }

  /** The request is in order; `accepted` follows when its 200 goes out. */
  accept(wacid: string, sdp: string, view: SdpView, connects: boolean, opaque: string | undefined): void {
    const call = this.#calls.get(wacid);
    if (call === undefined) return;
    const first = call.answer === undefined;
    call.state = "accepted";
    call.answer = sdp;
    call.opaque = opaque;
    call.stopRinging();
    if (first) call.relay?.answer(view, connects);
  }

  /** The 200 of accept is on its way: RTP may flow, and the user's timer starts if media did not start it before. */
  accepted(wacid: string): void {
    const call = this.#calls.get(wacid);
    if (call === undefined || call.state === "ended") return;
    call.relay?.accept();
    this.#pickUp(call);
  }

  reject(wacid: string): void {
    const call = this.#calls.get(wacid);
    if (call !== undefined) this.#end(call, { reason: "rejected", by: "business" });
  }

  terminate(wacid: string): void {
    const call = this.#calls.get(wacid);
    if (call !== undefined)
      this.#end(call, { reason: call.pickedUpAt === undefined ? "rejected" : "hung_up", by: "business" });
  }

  stop(): void {
    this.#timers.cancelAll();
    for (const call of this.#calls.values()) {
      if (call.state === "ended") continue;
      call.state = "ended";
      call.relay?.close();
      call.phone.onEnded({ reason: "failed", by: "whatsapp" });
    }
    this.#calls.clear();
    this.#ended.length = 0;
  }

  #ring(call: LiveCall): void {
    const { min, max } = this.#options.ringMs;
    const ringMs = randomInteger(this.#options.random, min, max);
    call.stopRinging = this.#timers.after(ringMs, () => {
      call.rangOut = true;
      this.#end(call, { reason: "not_answered", by: "whatsapp" });
    });
    this.#options.webhooks.connect(factsOf(call), call.relay?.offer ?? "");
  }

  #mediaOf(call: LiveCall): RelayEvents {
    return {
      onConnected: () => this.#step(call, "media_connected"),
      onFirstRtp: () => {
        this.#step(call, "first_rtp");
        // The client treats the call as accepted at the first media packet or the accept call, whichever comes first.
        this.#pickUp(call);
      },
      onViolation: (rule, text) => this.#options.log.add({ kind: "violation", rule, text, wacid: call.wacid }),
      onDead: (code, details) => this.#end(call, { reason: "failed", by: "whatsapp", code }, details),
      onRtp: (packet) => call.phone.onRtp(packet),
    };
  }

  #pickUp(call: LiveCall): void {
    if (call.pickedUpAt !== undefined || call.state === "ended") return;
    call.pickedUpAt = this.#options.clock.now();
    call.stopRinging();
    this.#step(call, "picked_up");
    call.phone.onPickedUp();
  }

  #end(call: LiveCall, end: CallEnd, details = ""): void {
    if (call.state === "ended") return;
    const endedAt = this.#options.clock.now();
    const startedAt = call.pickedUpAt;
    const facts = factsOf(call);
    this.#finish(call, startedAt === undefined ? end : { ...end, durationMs: endedAt - startedAt });
    void this.#options.webhooks.terminate(facts, {
      endedAt,
      ...(startedAt === undefined ? {} : { startedAt }),
      ...(end.code === undefined ? {} : { failure: { code: end.code, details } }),
    });
  }

  #finish(call: LiveCall, end: CallEnd): void {
    call.state = "ended";
    call.stopRinging();
    this.#forgetMedia(call);
    this.#step(call, "ended", `${end.reason} by ${end.by}${end.code === undefined ? "" : ` (${end.code})`}`);
    this.#ended.push(call.wacid);
    if (this.#ended.length > MAX_ENDED_CALLS) this.#calls.delete(this.#ended.shift() ?? "");
    const { phone } = call;
    call.phone = noPhone;
    phone.onEnded(end);
  }

  /** An ended call is remembered for its id alone. */
  #forgetMedia(call: LiveCall): void {
    call.relay?.close();
    call.statistics = call.relay?.statistics() ?? noStatistics;
    call.relay = undefined;
  }

  #liveOf(number: BusinessNumber): number {
    let count = 0;
    for (const call of this.#calls.values()) {
      if (call.state !== "ended" && call.phoneNumberId === number.phoneNumberId) count += 1;
    }
    return count;
  }

  #step(call: LiveCall, step: string, text?: string): void {
    this.#options.log.add({ kind: "call", step, wacid: call.wacid, ...(text === undefined ? {} : { text }) });
  }
}

const noPhone: UserPhone = {
  onRinging: () => undefined,
  onPickedUp: () => undefined,
  onEnded: () => undefined,
  onRtp: () => undefined,
};

const noStatistics: RelayStatistics = { fromBusiness: 0, toBusiness: 0, heldBack: 0, lost: 0, digits: "" };

function factsOf(call: LiveCall): CallFacts {
  const { ctaPayload, deeplinkPayload } = call.request;
  return {
    wacid: call.wacid,
    number: call.number,
    user: call.user,
    modes: call.modes,
    ...(ctaPayload === undefined ? {} : { ctaPayload }),
    ...(deeplinkPayload === undefined ? {} : { deeplinkPayload }),
    ...(call.opaque === undefined ? {} : { opaque: call.opaque }),
  };
}
