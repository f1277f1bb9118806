import type { DigitOutput } from "#core/rtp/digit-sender.ts";
import { RTP_HEADER_BYTES } from "#core/rtp/packet.ts";
import { EVENT_BYTES, writeEvent } from "#core/rtp/telephone-event.ts";
import { newFrame } from "./frame.ts";
import type { RtpOut } from "./rtp-out.ts";

/**
 * Puts the packets of digits into a stream: same SSRC and sequence, the timestamp of the digit's start at the clock of the
 * stream, the duration at that of the digits. WhatsApp has 48000 for the one and 8000 for the other.
 */
export class DigitsToRtp implements DigitOutput {
  readonly #out: RtpOut;
  readonly #payloadType: number;
  readonly #now: () => number;
  #timestamp = 0;

  constructor(out: RtpOut, payloadType: number, now: () => number) {
    this.#out = out;
    this.#payloadType = payloadType;
    this.#now = now;
  }

  begin(): void {
    this.#out.reserve(this);
    this.#timestamp = this.#out.beginEvent(this, this.#now());
  }

  packet(event: number, end: boolean, volume: number, duration: number, marker: boolean): void {
    const frame = newFrame(EVENT_BYTES);
    writeEvent(frame, RTP_HEADER_BYTES, { event, end, volume, duration });
    this.#out.sendEvent(frame, this.#payloadType, marker, this.#timestamp, this.#now());
  }

  done(durationMs: number): void {
    this.#out.endEvent(this, this.#timestamp, (durationMs * this.#out.clockRate) / 1_000);
    this.#out.reserve(undefined);
  }
}
