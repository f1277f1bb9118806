import type { Side } from "#core/call/call.ts";
import type { EvidenceStep, SilenceFindings } from "#core/call/evidence.ts";
import { eventOfKey } from "#core/rtp/telephone-event.ts";
import type { SipMedia, WhatsAppOffer } from "#core/sdp/session.ts";
import type { LocalTransport } from "#core/sdp/transport.ts";
import type { Latching, MediaFailure, MediaStatistics } from "#engine/ports.ts";
import { PbxLeg } from "#media/leg/pbx-leg.ts";
import type { SipSockets } from "#media/leg/sip-sockets.ts";
import { WhatsAppLeg } from "#media/leg/whatsapp-leg.ts";
import { Filler } from "#media/stage/filler.ts";
import type { SecureSession, SecureSessionEvents } from "#media/transport/contract.ts";
import type { Wheel } from "#media/worker/wheel.ts";
import { Bridge, type CodecPort } from "./bridge.ts";
import { statisticsOfPbx, statisticsOfWhatsApp } from "./statistics.ts";
import { Watch } from "./watch.ts";

/** Reports and checks need no finer time than this. */
const SLOW_TICK_MS = 100;

/** What a call tells. Called in order; nothing after `close()`. */
export interface MediaCallEvents {
  onConnected(): void;
  onFailed(failure: MediaFailure, detail: string): void;
  onEvidence(step: EvidenceStep, at: number): void;
  onSilenceCheck(afterMs: number, findings: SilenceFindings): void;
  onDigit(side: Side, digit: string, durationMs: number): void;
}

/** What a call needs of its worker. */
export interface MediaCallParts {
  readonly offer: WhatsAppOffer;
  readonly openSession: (events: SecureSessionEvents) => SecureSession;
  readonly sockets: SipSockets;
  /** What the PBX is told to send to. */
  readonly sipAddress: string;
  readonly codecs: CodecPort;
  readonly wheel: Wheel;
  /** Unix milliseconds that never jump. */
  readonly now: () => number;
  /** 0 to 1. */
  readonly random: () => number;
  readonly latching: Latching;
  readonly deadAfterMs: number;
  readonly silenceChecksMs?: readonly number[];
  readonly events: MediaCallEvents;
}

/**
 * The media of one call, inside its worker:
 *
 *     opened ──connect──▶ ICE, DTLS ──startSending──▶ sending ──close──▶ closed
 *                 setSipSession at any time, again at every re-INVITE
 */
export class MediaCall {
  readonly local: LocalTransport;
  readonly ssrc: number;
  readonly #parts: MediaCallParts;
  readonly #a: WhatsAppLeg;
  readonly #b: PbxLeg;
  readonly #bridge: Bridge;
  readonly #fillers: { readonly a: Filler; readonly b: Filler };
  readonly #watch: Watch;
  readonly #leaveWheel: () => void;
  #connecting = false;
  #slowAt = 0;
  #started = false;
  #failed = false;
  #closed: Promise<MediaStatistics> | undefined;

  constructor(parts: MediaCallParts) {
    this.#parts = parts;
    const { now, random, events } = parts;
    const stream = () => ({
      ssrc: Math.floor(random() * 0x1_0000_0000),
      // Below 2^15, so that the first wrap is not near (RFC 3711 §3.3.1).
      sequence: Math.floor(random() * 0x8000),
      // Far from the end of 31 bits, beyond which V8 keeps numbers in boxes.
      timestamp: Math.floor(random() * 0x1000_0000),
      cname: Math.floor(random() * 2 ** 48).toString(36),
      random,
      now,
    });
    this.#a = new WhatsAppLeg({
      ...stream(),
      open: parts.openSession,
      onBug: (error) => this.#failByBug(error),
      onIceConnected: () => this.#watch.saw("ice", now()),
      onConnected: () => this.#onConnected(),
      onFailed: (failure, detail) => this.fail(failure, detail),
    });
    this.#b = new PbxLeg({
      ...stream(),
      sockets: parts.sockets,
      latching: parts.latching,
      ourAddress: parts.sipAddress,
      onBug: (error) => this.#failByBug(error),
    });
    this.#bridge = new Bridge({
      a: this.#a,
      b: this.#b,
      codecs: parts.codecs,
      now,
      onDigit: (side, digit, durationMs) => events.onDigit(side, digit, durationMs),
    });
    this.#fillers = { a: new Filler(this.#a.out), b: new Filler(this.#b.out) };
    this.#watch = new Watch({
      findings: () => this.#findings(),
      signsOfLife: () => this.#signsOfLife(),
      deadAfterMs: parts.deadAfterMs,
      ...(parts.silenceChecksMs === undefined ? {} : { checksMs: parts.silenceChecksMs }),
      onEvidence: (step, at) => events.onEvidence(step, at),
      onSilenceCheck: (afterMs, findings) => events.onSilenceCheck(afterMs, findings),
      onDead: (detail) => this.fail("media_dead", detail),
    });
    this.local = this.#a.session.local;
    this.ssrc = this.#a.out.ssrc;
    this.#a.out.setClockRate(parts.offer.audio.clockRate);
    this.#fillers.a.setFormat(parts.offer.audio);
    this.#leaveWheel = parts.wheel.add((at) => this.#tick(at));
  }

  connect(): void {
    if (this.#closed || this.#connecting) return;
    this.#connecting = true;
    this.#a.connect(this.#parts.offer);
  }

  setSipSession(session: SipMedia, latching?: Latching): void {
    if (this.#closed) return;
    const before = this.#b.session;
    this.#b.setSession(session, latching, this.#parts.now());
    if (before !== undefined && formatsOf(before) === formatsOf(session)) return;
    this.#fillers.b.setFormat(session.audio);
    this.#bridge.join(this.#parts.offer, session).catch((error: unknown) => {
      this.fail("media_dead", `the codecs cannot be made: ${String(error)}`);
    });
  }

  startSending(): void {
    if (this.#closed || this.#started) return;
    this.#started = true;
    const now = this.#parts.now();
    this.#watch.start(now);
    this.#a.start();
    this.#b.start(now);
    this.#tick(now);
  }

  /** Sends a digit to one side; false when that side takes none. */
  press(side: Side, digit: string, durationMs: number): boolean {
    const event = eventOfKey(digit);
    return event !== undefined && !this.#closed && this.#bridge.press(side, event, durationMs);
  }

  #onConnected(): void {
    this.#watch.saw("dtls", this.#parts.now());
    this.#parts.events.onConnected();
  }

  /** Every 20 ms. */
  #tick(at: number): void {
    try {
      this.#bridge.tick(at);
      this.#fillers.a.tick(at);
      this.#fillers.b.tick(at);
      if (at >= this.#slowAt) this.#tickSlowly(at);
    } catch (error) {
      this.#failByBug(error);
    }
  }

  #tickSlowly(at: number): void {
    this.#slowAt = at + SLOW_TICK_MS;
    if (!this.#watch.isComplete) this.#lookForEvidence();
    this.#a.rtcp.tick(at);
    this.#b.rtcp.tick(at);
    this.#watch.tick(at);
  }

  /** First packets are noted where they pass, and told here, in the order of their times. */
  #lookForEvidence(): void {
    const firsts = [
      { step: "first_rtp_out", packets: this.#a.out.packets, at: this.#a.out.firstAt },
      { step: "first_rtp_in", packets: this.#a.reception.packets, at: this.#a.reception.firstAt },
      { step: "first_pbx_rtp_in", packets: this.#b.reception.packets, at: this.#b.reception.firstAt },
    ] as const;
    const seen = firsts.filter(({ packets }) => packets > 0).toSorted((x, y) => x.at - y.at);
    for (const { step, at } of seen) this.#watch.saw(step, at);
  }

  #signsOfLife(): number {
    const { rtpIn, rtcpIn, stunIn } = this.#a.session.counters();
    return rtpIn + rtcpIn + stunIn;
  }

  #findings(): SilenceFindings {
    const counters = this.#a.session.counters();
    return {
      fromWhatsApp: counters.rtpIn,
      toWhatsApp: this.#a.out.packets,
      fromPbx: this.#b.reception.packets,
      toPbx: this.#b.out.packets,
      unauthenticated: counters.srtpForged,
      strangers: this.#b.strangers,
      pbxAddressSuspect: this.#b.addressSuspect,
    };
  }

  /** The call is over for media; told once. It is still to be closed. */
  fail(failure: MediaFailure, detail: string): void {
    if (this.#closed || this.#failed) return;
    this.#failed = true;
    this.#parts.events.onFailed(failure, detail);
  }

  statistics(): MediaStatistics {
    const bridge = this.#bridge;
    const counts = bridge.counts();
    return {
      a: statisticsOfWhatsApp(this.#a, bridge, this.#parts.offer.audio.codec),
      b: statisticsOfPbx(this.#b, bridge),
      transcoding: bridge.transcoding,
      fecFrames: counts.fecFrames,
      concealedFrames: counts.concealedFrames,
    };
  }

  /** Says goodbye, forgets keys, ports and codecs, and returns the last figures. May be called twice. */
  close(): Promise<MediaStatistics> {
    this.#closed ??= this.#end();
    return this.#closed;
  }

  async #end(): Promise<MediaStatistics> {
    const now = this.#parts.now();
    this.#leaveWheel();
    this.#a.rtcp.sayGoodbye(now);
    this.#b.rtcp.sayGoodbye(now);
    const statistics = this.statistics();
    this.#bridge.close();
    this.#a.session.close();
    await this.#parts.sockets.close();
    return statistics;
  }

  /** A bug ends the call that it happened in, and no other. */
  #failByBug(error: unknown): void {
    this.fail("media_dead", `bug: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  }
}

/** What the audio chains depend on. */
function formatsOf(session: SipMedia): string {
  return JSON.stringify([session.audio, session.digits, session.ptimeMs]);
}
