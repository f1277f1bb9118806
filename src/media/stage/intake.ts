import type { DigitReceiver } from "#core/rtp/digit-receiver.ts";
import type { RtpView } from "#core/rtp/packet.ts";
import type { Reception } from "#core/rtp/reception.ts";
import { readEvent } from "#core/rtp/telephone-event.ts";
import type { AudioFormat, DigitFormat } from "#core/sdp/session.ts";
import type { AudioSink, Sink } from "./sink.ts";

export interface IntakeOptions {
  readonly reception: Reception;
  readonly audio: AudioFormat;
  readonly takeAudio: AudioSink;
  /** Undefined when no digits were agreed. */
  readonly digits: DigitFormat | undefined;
  readonly takeDigits: DigitReceiver;
}

/** Where the packets of one direction come in: counted, and sorted by payload type (RFC 3551 §3). */
export class Intake implements Sink {
  /** Comfort noise, and whatever else was not agreed. */
  unknown = 0;
  readonly #reception: Reception;
  readonly #audioType: number;
  readonly #audio: AudioSink;
  readonly #digitType: number;
  readonly #digits: DigitReceiver;

  constructor(options: IntakeOptions) {
    this.#reception = options.reception;
    this.#audioType = options.audio.payloadType;
    this.#audio = options.takeAudio;
    this.#digitType = options.digits?.payloadType ?? -1;
    this.#digits = options.takeDigits;
  }

  take(packet: RtpView): void {
    const { payloadType, ssrc, sequence, timestamp, at, bytes } = packet;
    const isAudio = payloadType === this.#audioType;
    this.#reception.take(ssrc, sequence, timestamp, at, bytes.length, isAudio);
    if (isAudio) {
      this.#audio.take(packet);
      return;
    }
    this.#audio.skip(sequence);
    if (payloadType === this.#digitType) this.#takeDigit(packet);
    else this.unknown += 1;
  }

  #takeDigit(packet: RtpView): void {
    const event = readEvent(packet.bytes, packet.start, packet.end);
    if (event !== undefined) this.#digits.take(event, packet.timestamp, packet.marker, packet.at);
  }
}

/** For a leg whose other side is not known yet: packets are counted, and go nowhere. */
export class Waiting implements Sink {
  readonly #reception: Reception;

  constructor(reception: Reception) {
    this.#reception = reception;
  }

  take({ ssrc, sequence, timestamp, at, bytes }: RtpView): void {
    this.#reception.take(ssrc, sequence, timestamp, at, bytes.length, false);
  }
}
