import { decodeG711, type G711 } from "#core/codec/g711.ts";
import type { RtpView } from "#core/rtp/packet.ts";
import { StreamFollower } from "./follow.ts";
import { type AudioSink, FRAME_SAMPLES, type PcmSink } from "./sink.ts";

/** The longest packet that is taken: 120 ms. */
const MAX_SAMPLES = FRAME_SAMPLES * 6;

/** Longer holes are left open; a repeated frame sounds like a buzz after this. */
const MAX_CONCEALED_SAMPLES = FRAME_SAMPLES * 3;
/** Each repetition of a frame is softer than the one before, in the manner of ITU-T G.711 Appendix I. */
const FADE = 0.6;

/** G.711 to PCM on arrival. Short holes are filled with the last packet's sound, fading. */
export class G711ToPcm implements AudioSink {
  concealedFrames = 0;
  undecodable = 0;
  readonly follower = new StreamFollower();
  readonly #codec: G711;
  readonly #next: PcmSink;
  readonly #samples = new Int16Array(MAX_SAMPLES);
  /** The sound of the last packet, `#lastLength` samples long. */
  readonly #last = new Int16Array(MAX_SAMPLES);
  #lastLength = 0;

  constructor(codec: G711, next: PcmSink) {
    this.#codec = codec;
    this.#next = next;
  }

  take(packet: RtpView): void {
    const length = packet.end - packet.start;
    if (length === 0) return;
    if (length > MAX_SAMPLES) {
      this.undecodable += 1;
      return;
    }
    // One byte is one sample, and one unit of the RTP clock (RFC 3551 §4.5.14).
    const arrival = this.follower.take(packet, length);
    if (arrival === "late") return;
    if (arrival === "restart") this.#next.interrupt();
    else if (this.follower.missingUnits !== 0) this.#bridge(packet.at);
    decodeG711(this.#codec, packet.bytes.subarray(packet.start, packet.end), this.#samples);
    const samples = this.#samples.subarray(0, length);
    this.#last.set(samples);
    this.#lastLength = length;
    this.#next.take(samples, packet.at);
  }

  #bridge(at: number): void {
    const { missingPackets, missingUnits } = this.follower;
    if (missingPackets === 0 || missingUnits < 0 || missingUnits > MAX_CONCEALED_SAMPLES || this.#lastLength === 0) {
      this.#next.interrupt();
      return;
    }
    const last = this.#last.subarray(0, this.#lastLength);
    for (let left = missingUnits; left > 0; left -= last.length) {
      for (let i = 0; i < last.length; i += 1) last[i] = (last[i] ?? 0) * FADE;
      this.#next.take(left < last.length ? last.subarray(0, left) : last, at);
      this.concealedFrames += 1;
    }
  }

  skip(sequence: number): void {
    this.follower.skip(sequence);
  }
}
