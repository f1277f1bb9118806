import type { RtpView } from "#core/rtp/packet.ts";
import { sequenceDistance, timestampDistance } from "#core/rtp/serial.ts";
import { opusUnits } from "./opus-packet.ts";
import type { RtpOut } from "./rtp-out.ts";
import { type AudioSink, OPUS_CLOCK } from "./sink.ts";

/** Further than this a packet is not late or lost: the stream began anew. */
const MAX_SEQUENCE_JUMP = 100;
const MAX_TIMESTAMP_JUMP = OPUS_CLOCK * 10;

/** Up to this a sender's timestamps may stray from its own packets before it counts as a pause: 100 ms. */
const MAX_STRAY_UNITS = OPUS_CLOCK / 10;

/** Packets that are at most so late are passed on, each once. Also the width of the bit set below. */
const LATE_WINDOW = 32;

/**
 * Opus to Opus: only the header changes. Loss and late packets stay visible to the far end, whose decoder knows best what to
 * do about them. No sequence number is ever used twice: SRTP would encrypt two packets with the same key stream.
 */
export class Passthrough implements AudioSink {
  late = 0;
  readonly #out: RtpOut;
  readonly #payloadType: number;
  #ssrc = -1;
  #highest = 0;
  /** Of the highest, as a signed number, which V8 keeps without a box of its own. */
  #timestamp = 0;
  /** How long the highest is, in units of the clock. */
  #units = 0;
  /** By how much the sender's timestamps are ahead of ours in this turn. */
  #stray = 0;
  /** Bit n: the packet n before the highest was passed on. */
  #seen = 0;

  constructor(out: RtpOut, payloadType: number) {
    this.#out = out;
    this.#payloadType = payloadType;
  }

  take(packet: RtpView): void {
    const out = this.#out;
    if (packet.start === packet.end) return;
    if (!out.takes(this)) {
      out.held += 1;
      return;
    }
    const units = opusUnits(packet.bytes, packet.start, packet.end);
    const step = sequenceDistance(this.#highest, packet.sequence);
    const timestampStep = timestampDistance(this.#timestamp, packet.timestamp);
    if (!out.isTurnOf(this) || packet.ssrc !== this.#ssrc || this.#isRestart(step, timestampStep)) {
      this.#begin(packet, units);
    } else if (step > 0) {
      this.#seen = step >= LATE_WINDOW ? 1 : (this.#seen << step) | 1;
      this.#highest = packet.sequence;
      this.#timestamp = packet.timestamp | 0;
      const onGrid = this.#onGrid(step, timestampStep);
      this.#units = units;
      out.relay(this, packet, this.#payloadType, step, onGrid, units);
    } else if (step > -LATE_WINDOW && (this.#seen & (1 << -step)) === 0) {
      this.#seen |= 1 << -step;
      const onGrid = timestampStep % this.#units === 0 ? timestampStep : step * this.#units;
      out.relay(this, packet, this.#payloadType, step, onGrid, units);
    } else this.late += 1;
  }

  /**
   * How far our timestamp goes on. As far as the sender's, if that is by whole packets; else by the length of the packets,
   * and by whole packets more once it is clear that there was a pause. Asterisk dates its own tones and prompts by the
   * clock when they are more than 13 ms late (640 units, meant for 8 kHz); a decoder would hear each of them as a loss.
   */
  #onGrid(step: number, timestampStep: number): number {
    const due = step * this.#units;
    const extra = timestampStep - due;
    if (extra >= 0 && extra % this.#units === 0) return timestampStep;
    const stray = this.#stray + extra;
    const pause = stray < MAX_STRAY_UNITS ? 0 : stray - (stray % this.#units);
    this.#stray = stray < -MAX_STRAY_UNITS ? 0 : stray - pause;
    return due + pause;
  }

  #isRestart(step: number, timestampStep: number): boolean {
    if (Math.abs(step) > MAX_SEQUENCE_JUMP || Math.abs(timestampStep) > MAX_TIMESTAMP_JUMP) return true;
    // Sequence and time run in the same direction.
    return step > 0 && timestampStep <= 0;
  }

  #begin(packet: RtpView, units: number): void {
    this.#out.interrupt(this);
    this.#ssrc = packet.ssrc;
    this.#highest = packet.sequence;
    this.#timestamp = packet.timestamp | 0;
    this.#units = units;
    this.#stray = 0;
    // What is older than the first packet of a turn has no place in the outgoing stream.
    this.#seen = -1;
    this.#out.relay(this, packet, this.#payloadType, 1, units, units);
  }

  skip(sequence: number): void {
    if (sequenceDistance(this.#highest, sequence) <= 0) return;
    this.#highest = sequence;
    this.#seen = -1;
  }
}
