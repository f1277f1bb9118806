import type { Side } from "#core/call/call.ts";
import type { Reception } from "#core/rtp/reception.ts";
import type { SipMedia, WhatsAppOffer } from "#core/sdp/session.ts";
import { G711ToPcm } from "#media/stage/decode-g711.ts";
import { OpusToPcm } from "#media/stage/decode-opus.ts";
import { PcmToG711, PcmToOpus } from "#media/stage/encode.ts";
import { Intake, Waiting } from "#media/stage/intake.ts";
import type { OpusDecoderHandle, OpusEncoderHandle } from "#media/stage/opus-codec.ts";
import { Passthrough } from "#media/stage/passthrough.ts";
import { Reframe } from "#media/stage/reframe.ts";
import type { RtpOut } from "#media/stage/rtp-out.ts";
import { type AudioSink, FRAME_SAMPLES, PCM_RATE, type Sink } from "#media/stage/sink.ts";
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

/** What the bridge needs of a leg. */
export interface BridgedLeg {
  readonly reception: Reception;
  readonly out: RtpOut;
  /** Where its packets go; set by the bridge. */
  sink: Sink;
}

export interface BridgeOptions {
  /** WhatsApp's and the PBX's side. */
  readonly a: BridgedLeg;
  readonly b: BridgedLeg;
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

const nowhere: AudioSink = { take: () => undefined, skip: () => undefined };

/** Carries packets of one leg to the other. Its chains are joined anew whenever a description changes. */
export class Bridge {
  readonly #options: BridgeOptions;
  readonly #digits: { readonly fromA: DigitLane; readonly fromB: DigitLane };
  /** Of intakes that were replaced. */
  readonly #unknown = { a: 0, b: 0 };
  readonly #intakes: { a?: Intake; b?: Intake } = {};
  #joint: Joint | undefined;
  #before: JointCounts = NO_COUNTS;
  /** A later description overtakes an earlier one whose codecs are still being made. */
  #generation = 0;

  constructor(options: BridgeOptions) {
    this.#options = options;
    const { a, b, now, onDigit } = options;
    this.#digits = {
      fromA: new DigitLane(b.out, now, (digit, ms) => onDigit("a", digit, ms)),
      fromB: new DigitLane(a.out, now, (digit, ms) => onDigit("b", digit, ms)),
    };
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
    return this.#unknown[side] + (this.#intakes[side]?.unknown ?? 0);
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
    const { a, b } = this.#options;
    a.out.setClockRate(offer.audio.clockRate);
    b.out.setClockRate(session.audio.clockRate);
    a.reception.setClockRate(offer.audio.clockRate);
    b.reception.setClockRate(session.audio.clockRate);
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
    this.#setIntake("a", offer, this.#digits.fromA, fromWhatsApp);
    this.#setIntake("b", session, this.#digits.fromB, fromPbx);
  }

  #setIntake(side: Side, { audio, digits }: WhatsAppOffer | SipMedia, lane: DigitLane, takeAudio: AudioSink): void {
    this.#unknown[side] = this.unknownOf(side);
    const leg = this.#options[side];
    const intake = new Intake({ reception: leg.reception, audio, takeAudio, digits, takeDigits: lane.receiver });
    this.#intakes[side] = intake;
    leg.sink = intake;
  }

  #passThrough(offer: WhatsAppOffer, session: SipMedia): Joint {
    const fromWhatsApp = new Passthrough(this.#options.b.out, session.audio.payloadType);
    const fromPbx = new Passthrough(this.#options.a.out, offer.audio.payloadType);
    const counts = () => ({ ...NO_COUNTS, late: { a: fromWhatsApp.late, b: fromPbx.late } });
    return { fromWhatsApp, fromPbx, close: () => undefined, counts };
  }

  async #transcode(offer: WhatsAppOffer, session: SipMedia): Promise<Joint> {
    const { a, b, codecs } = this.#options;
    const codec = session.audio.codec === "PCMA" ? "PCMA" : "PCMU";
    const [decoder, encoder] = await Promise.all([codecs.decoder(), codecs.encoder()]);
    const toG711 = new PcmToG711(codec, b.out, session.audio.payloadType);
    const fromWhatsApp = new OpusToPcm(decoder, new Reframe(samplesOf(session.ptimeMs), toG711));
    const toOpus = new PcmToOpus(encoder, a.out, offer.audio.payloadType);
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
    const { a, b } = this.#options;
    a.sink = new Waiting(a.reception);
    b.sink = new Waiting(b.reception);
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
