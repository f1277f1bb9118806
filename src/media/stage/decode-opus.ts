import { isOpusError } from "libopus-wasm";
import type { RtpView } from "#core/rtp/packet.ts";
import { StreamFollower } from "./follow.ts";
import type { OpusDecoderHandle } from "./opus-codec.ts";
import { hasFec, opusUnits } from "./opus-packet.ts";
import { type AudioSink, FRAME_SAMPLES, OPUS_FRAME_UNITS, type PcmSink } from "./sink.ts";

/** A longer hole is left open: concealment fades to noise after 100 ms, and silence follows anyway. */
const MAX_CONCEALED_FRAMES = 5;

const FEC_OPTIONS = { decodeFec: true, frameSize: FRAME_SAMPLES } as const;

/**
 * Opus to PCM on arrival. Packets that are missing are made up before the one that shows it: the last of them from that
 * packet's in-band FEC where it has one, the others by the decoder's concealment (RFC 6716 §4.4).
 */
export class OpusToPcm implements AudioSink {
  fecFrames = 0;
  concealedFrames = 0;
  undecodable = 0;
  readonly follower = new StreamFollower();
  readonly #decoder: OpusDecoderHandle;
  readonly #next: PcmSink;

  constructor(decoder: OpusDecoderHandle, next: PcmSink) {
    this.#decoder = decoder;
    this.#next = next;
  }

  take(packet: RtpView): void {
    if (packet.start === packet.end) return;
    const follower = this.follower;
    const arrival = follower.take(packet, opusUnits(packet.bytes, packet.start, packet.end));
    if (arrival === "late") return;
    const payload = packet.bytes.subarray(packet.start, packet.end);
    if (arrival === "restart") this.#next.interrupt();
    else if (follower.missingUnits !== 0) this.#bridge(packet, payload);
    try {
      this.#next.take(this.#decoder.decode(payload), packet.at);
    } catch (error) {
      this.#refuse(error, packet.at);
    }
  }

  #bridge(packet: RtpView, payload: Buffer): void {
    const { missingPackets, missingUnits } = this.follower;
    const frames = Math.round(missingUnits / OPUS_FRAME_UNITS);
    if (missingPackets === 0 || frames < 1 || frames > MAX_CONCEALED_FRAMES) {
      // A pause of the sender, or more than can be made up.
      if (frames !== 0) this.#next.interrupt();
      return;
    }
    for (let left = frames; left > 0; left -= 1) {
      if (left === 1 && hasFec(packet.bytes, packet.start, packet.end)) this.#recover(payload, packet.at);
      else this.#conceal(packet.at);
    }
  }

  #recover(payload: Buffer, at: number): void {
    try {
      this.#next.take(this.#decoder.decode(payload, FEC_OPTIONS), at);
      this.fecFrames += 1;
    } catch (error) {
      this.#refuse(error, at);
    }
  }

  #conceal(at: number): void {
    this.concealedFrames += 1;
    this.#next.take(this.#decoder.decodePacketLoss(FRAME_SAMPLES), at);
  }

  /** A packet that libopus refuses counts as lost. Anything else that is thrown is a bug, and not ours to hide. */
  #refuse(error: unknown, at: number): void {
    if (!isOpusError(error)) throw error;
    this.undecodable += 1;
    this.#conceal(at);
  }

  skip(sequence: number): void {
    this.follower.skip(sequence);
  }
}
