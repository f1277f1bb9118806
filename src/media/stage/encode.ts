import { encodeG711, type G711 } from "#core/codec/g711.ts";
import { newFrame, payloadOf } from "./frame.ts";
import type { OpusEncoderHandle } from "./opus-codec.ts";
import type { RtpOut } from "./rtp-out.ts";
import { OPUS_FRAME_UNITS, type PcmSink } from "./sink.ts";

/** RFC 6716 §3.4: the largest packet of one frame. */
const ENCODE_OPTIONS = { maxPacketBytes: 1_275 } as const;

/** PCM frames of 20 ms to Opus packets. */
export class PcmToOpus implements PcmSink {
  readonly #encoder: OpusEncoderHandle;
  readonly #out: RtpOut;
  readonly #payloadType: number;

  constructor(encoder: OpusEncoderHandle, out: RtpOut, payloadType: number) {
    this.#encoder = encoder;
    this.#out = out;
    this.#payloadType = payloadType;
  }

  take(samples: Int16Array, at: number): void {
    // While a digit is being sent, or nothing at all, encoding would be for nobody.
    if (!this.#out.takes(this)) {
      this.#out.held += 1;
      return;
    }
    const packet = this.#encoder.encode(samples, ENCODE_OPTIONS);
    this.#out.sendPayload(this, packet, this.#payloadType, OPUS_FRAME_UNITS, at);
  }

  interrupt(): void {
    this.#out.interrupt(this);
  }
}

/** PCM frames of any length to G.711 packets. */
export class PcmToG711 implements PcmSink {
  readonly #codec: G711;
  readonly #out: RtpOut;
  readonly #payloadType: number;

  constructor(codec: G711, out: RtpOut, payloadType: number) {
    this.#codec = codec;
    this.#out = out;
    this.#payloadType = payloadType;
  }

  take(samples: Int16Array, at: number): void {
    const frame = newFrame(samples.length);
    encodeG711(this.#codec, samples, payloadOf(frame));
    this.#out.sendFrame(this, frame, this.#payloadType, samples.length, at);
  }

  interrupt(): void {
    this.#out.interrupt(this);
  }
}
