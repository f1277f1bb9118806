import { encodeG711 } from "#core/codec/g711.ts";
import type { AudioFormat } from "#core/sdp/session.ts";
import type { RtpOut } from "./rtp-out.ts";
import { FRAME_MS, FRAME_SAMPLES } from "./sink.ts";

/**
 * A source that is silent for so long has paused: late packets are not taken for a pause. Far below the 20 s after which
 * WhatsApp gives a call up.
 */
const PAUSE_MS = 100;

/** A worker that was held up catches up this far; beyond it the time is skipped and the timestamp moved. */
const MAX_FRAMES_AT_ONCE = 2;

/** 20 ms of digital silence: CELT, fullband, mono, one frame (RFC 6716 §3.1: configuration 31). */
const OPUS_SILENCE = Uint8Array.of(0xf8, 0xff, 0xfe);

/** One frame of nothing for each codec. */
const silence: Readonly<Record<AudioFormat["codec"], Uint8Array>> = {
  opus: OPUS_SILENCE,
  PCMU: g711Silence("PCMU"),
  PCMA: g711Silence("PCMA"),
};

function g711Silence(codec: "PCMU" | "PCMA"): Uint8Array {
  const bytes = new Uint8Array(FRAME_SAMPLES);
  encodeG711(codec, new Int16Array(FRAME_SAMPLES), bytes);
  return bytes;
}

/** Plays silence whenever nobody else sends, so that a stream never pauses. Paced by the wheel, timed by the stream. */
export class Filler {
  frames = 0;
  readonly #out: RtpOut;
  #format: AudioFormat | undefined;

  constructor(out: RtpOut) {
    this.#out = out;
  }

  setFormat(format: AudioFormat | undefined): void {
    this.#format = format;
    this.#out.interrupt(this);
  }

  /** To be called every 20 ms, and once when the stream is opened. */
  tick(at: number): void {
    const out = this.#out;
    const isMine = out.isTurnOf(this);
    // The usual case: somebody else is speaking.
    if (!isMine && out.packets > 0 && at - out.sentAt < PAUSE_MS) return;
    const format = this.#format;
    if (format === undefined || !out.takes(this)) return;
    const units = (format.clockRate * FRAME_MS) / 1_000;
    if (!isMine) {
      // Whoever sent last may have run ahead of time: then there is nothing to fill yet.
      if (out.packets === 0 || out.lag(at) >= -units / 2) this.#send(format, units, at);
      return;
    }
    // Half a frame of tolerance: the wheel comes a little early or late.
    let due = Math.floor(out.lag(at) / units + 0.5) + 1;
    if (due > MAX_FRAMES_AT_ONCE) {
      out.interrupt(this);
      due = 1;
    }
    for (let i = 0; i < due; i += 1) this.#send(format, units, at);
  }

  #send(format: AudioFormat, units: number, at: number): void {
    this.frames += 1;
    this.#out.sendPayload(this, silence[format.codec], format.payloadType, units, at);
  }
}
