import type { Side } from "#core/call/call.ts";
import type { Reception } from "#core/rtp/reception.ts";
import type { AudioFormat, SipMedia, WhatsAppOffer } from "#core/sdp/session.ts";
import { G711ToPcm } from "#media/stage/decode-g711.ts";
import { OpusToPcm } from "#media/stage/decode-opus.ts";
import { receiveDigits, sortByPayloadType } from "#media/stage/digits.ts";
import { PcmToG711, PcmToOpus } from "#media/stage/encode.ts";
import { measure } from "#media/stage/measure.ts";
import type { OpusDecoderHandle, OpusEncoderHandle } from "#media/stage/opus-codec.ts";
import { Passthrough } from "#media/stage/passthrough.ts";
import { Reframe } from "#media/stage/reframe.ts";
import type { RtpOut } from "#media/stage/rtp-out.ts";
import { type AudioSink, discard, FRAME_SAMPLES, PCM_RATE, type Sink } from "#media/stage/sink.ts";
import { DigitLane } from "./digit-lane.ts";

/** Longest packet we make towards the PBX, milliseconds. */
const MAX_PTIME_MS = 60;

/** Makes the codecs of one call. Both are freed by the bridge. */
export interface CodecPort {
  decoder(): Promise<OpusDecoderHandle>;
  encoder(): Promise<OpusEncoderHandle>;
  /** Gives an encoder back, to be freed. */
  release(encoder: OpusEncoderHandle): void;
}

export interface BridgeOptions {
  readonly toWhatsApp: RtpOut;
  readonly toPbx: RtpOut;
  readonly receptions: { readonly a: Reception; readonly b: Reception };
  readonly codecs: CodecPort;
  readonly now: () => number;
  readonly onDigit: (side: Side, digit: string, durationMs: number) => void;
}

/** What is joined between two formats: one audio path for each direction. */
interface Joint {
  readonly fromWhatsApp: AudioSink;
  readonly fromPbx: AudioSink;
  readonly close: () => void;
  readonly counts: () => JointCounts;
}

interface JointCounts {
  readonly fecFrames: number;
  readonly concealedFrames: number;
  readonly late: { readonly a: number; readonly b: number };
  readonly undecodable: { readonly a: number; readonly b: number };
}

const NO_COUNTS: JointCounts = { fecFrames: 0, concealedFrames: 0, late: { a: 0, b: 0 }, undecodable: { a: 0, b: 0 } };

const nowhere: AudioSink = { take: discard, skip: () => undefined };

/** Carries packets of one leg to the other. Its chains are joined anew whenever a description changes. */
export class Bridge {
  /** Packets of one leg, after the view was read. */
  fromWhatsApp: Sink;
  fromPbx: Sink;
  readonly #options: BridgeOptions;
  readonly #digits: { readonly fromA: DigitLane; readonly fromB: DigitLane };
  readonly #unknown = { a: 0, b: 0 };
  #joint: Joint | undefined;
  #before: JointCounts = NO_COUNTS;
  /** A later description overtakes an earlier one whose codecs are still being made. */
  #generation = 0;

  constructor(options: BridgeOptions) {
    this.#options = options;
    const { toWhatsApp, toPbx, now, onDigit } = options;
    this.#digits = {
      fromA: new DigitLane(toPbx, now, (digit, ms) => onDigit("a", digit, ms)),
      fromB: new DigitLane(toWhatsApp, now, (digit, ms) => onDigit("b", digit, ms)),
    };
    this.fromWhatsApp = discard;
    this.fromPbx = discard;
  }

  get transcoding(): boolean {
    return this.#joint !== undefined && !(this.#joint.fromWhatsApp instanceof Passthrough);
  }

  digitsOf(side: Side): { readonly in: number; readonly out: number } {
    const { fromA, fromB } = this.#digits;
    return side === "a" ? { in: fromA.received, out: fromB.sent } : { in: fromB.received, out: fromA.sent };
  }

  /** Payload types that were not agreed on. */
  unknownOf(side: Side): number {
    return this.#unknown[side];
  }

  counts(): JointCounts {
    return addCounts(this.#before, this.#joint?.counts() ?? NO_COUNTS);
  }

  /** Sends a digit to one side. False when it cannot be sent there. */
  press(side: Side, event: number, durationMs: number): boolean {
    return (side === "a" ? this.#digits.fromB : this.#digits.fromA).press(event, durationMs);
  }

  tick(at: number): void {
    this.#digits.fromA.tick(at);
    this.#digits.fromB.tick(at);
  }

  /** Joins the two sides. Until it resolves the old joint carries on, unless its formats are not valid any more. */
  async join(offer: WhatsAppOffer, session: SipMedia): Promise<void> {
    const generation = ++this.#generation;
    this.#part();
    const { toWhatsApp, toPbx } = this.#options;
    toWhatsApp.setClockRate(offer.audio.clockRate);
    toPbx.setClockRate(session.audio.clockRate);
    this.#options.receptions.a.setClockRate(offer.audio.clockRate);
    this.#options.receptions.b.setClockRate(session.audio.clockRate);
    const { fromA, fromB } = this.#digits;
    fromA.setSource(offer.digits);
    fromB.setTarget(offer.digits);
    fromB.setSource(session.digits);
    fromA.setTarget(session.digits);
    this.#connect(offer, session, nowhere, nowhere);
    const joint =
      session.audio.codec === "opus" ? this.#passThrough(offer, session) : await this.#transcode(offer, session);
    if (generation !== this.#generation) {
      joint.close();
      return;
    }
    this.#joint = joint;
    this.#connect(offer, session, joint.fromWhatsApp, joint.fromPbx);
  }

  #connect(offer: WhatsAppOffer, session: SipMedia, fromWhatsApp: AudioSink, fromPbx: AudioSink): void {
    this.fromWhatsApp = this.#chain("a", offer, this.#digits.fromA, fromWhatsApp);
    this.fromPbx = this.#chain("b", session, this.#digits.fromB, fromPbx);
  }

  #chain(
    side: Side,
    formats: { readonly audio: AudioFormat; readonly digits?: SipMedia["digits"] },
    lane: DigitLane,
    audio: AudioSink,
  ): Sink {
    const reception = this.#options.receptions[side];
    const events = receiveDigits(lane.receiver);
    const timed = measure(reception, true);
    const untimed = measure(reception, false);
    return sortByPayloadType({
      audio: formats.audio.payloadType,
      takeAudio: timed((packet) => audio.take(packet)),
      digits: formats.digits?.payloadType,
      takeDigits: untimed((packet) => {
        audio.skip(packet.sequence);
        events(packet);
      }),
      takeOther: untimed((packet) => {
        audio.skip(packet.sequence);
        this.#unknown[side] += 1;
      }),
    });
  }

  #passThrough(offer: WhatsAppOffer, session: SipMedia): Joint {
    const fromWhatsApp = new Passthrough(this.#options.toPbx, session.audio.payloadType);
    const fromPbx = new Passthrough(this.#options.toWhatsApp, offer.audio.payloadType);
    const counts = () => ({ ...NO_COUNTS, late: { a: fromWhatsApp.late, b: fromPbx.late } });
    return { fromWhatsApp, fromPbx, close: () => undefined, counts };
  }

  async #transcode(offer: WhatsAppOffer, session: SipMedia): Promise<Joint> {
    const { toWhatsApp, toPbx, codecs } = this.#options;
    const codec = session.audio.codec === "PCMA" ? "PCMA" : "PCMU";
    const [decoder, encoder] = await Promise.all([codecs.decoder(), codecs.encoder()]);
    const toG711 = new PcmToG711(codec, toPbx, session.audio.payloadType);
    const fromWhatsApp = new OpusToPcm(decoder, new Reframe(samplesOf(session.ptimeMs), toG711));
    const toOpus = new PcmToOpus(encoder, toWhatsApp, offer.audio.payloadType);
    const fromPbx = new G711ToPcm(codec, new Reframe(FRAME_SAMPLES, toOpus));
    return {
      fromWhatsApp,
      fromPbx,
      close: () => {
        decoder.free();
        codecs.release(encoder);
      },
      counts: () => ({
        fecFrames: fromWhatsApp.fecFrames,
        concealedFrames: fromWhatsApp.concealedFrames + fromPbx.concealedFrames,
        late: { a: fromWhatsApp.follower.late, b: fromPbx.follower.late },
        undecodable: { a: fromWhatsApp.undecodable, b: fromPbx.undecodable },
      }),
    };
  }

  #part(): void {
    if (this.#joint === undefined) return;
    this.#before = this.counts();
    this.#joint.close();
    this.#joint = undefined;
  }

  close(): void {
    this.#generation += 1;
    this.#part();
    this.fromWhatsApp = discard;
    this.fromPbx = discard;
  }
}

/** Whole 10 ms, as all equipment can play them. */
function samplesOf(ptimeMs: number): number {
  const ms = Math.min(MAX_PTIME_MS, Math.max(10, Math.round(ptimeMs / 10) * 10));
  return (ms * PCM_RATE) / 1_000;
}

function addCounts(x: JointCounts, y: JointCounts): JointCounts {
  return {
    fecFrames: x.fecFrames + y.fecFrames,
    concealedFrames: x.concealedFrames + y.concealedFrames,
    late: { a: x.late.a + y.late.a, b: x.late.b + y.late.b },
    undecodable: { a: x.undecodable.a + y.undecodable.a, b: x.undecodable.b + y.undecodable.b },
  };
}
