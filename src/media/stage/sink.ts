import type { RtpView } from "#core/rtp/packet.ts";

/**
 * The audio path is a chain of small stages, joined when both sides are known. Everything in it is synchronous and
 * belongs to one packet: no await, no log line, no event; counters are read from outside now and then.
 *
 *     WhatsApp ─▶ Intake ─┬─▶ Passthrough ────────────────────────────┬─▶ RtpOut ─▶ PBX
 *                         ├─▶ OpusToPcm ─▶ Reframe ─▶ PcmToG711 ──────┤
 *                         └─▶ DigitReceiver ─▶ DigitSender ───────────┘
 */
export interface Sink {
  take(packet: RtpView): void;
}

/** Takes the audio packets of one direction. */
export interface AudioSink extends Sink {
  /** A sequence number that carried something else than audio (a digit): it is not a loss. */
  skip(sequence: number): void;
}

/** Takes sound as 16-bit PCM at 8 kHz, mono. The samples are only valid during the call. */
export interface PcmSink {
  take(samples: Int16Array, at: number): void;
  /** The sound was interrupted: what was begun is dropped, and what comes next starts at its own time. */
  interrupt(): void;
}

export const PCM_RATE = 8_000;
export const FRAME_MS = 20;
/** Samples of one frame of 20 ms at 8 kHz. */
export const FRAME_SAMPLES = (PCM_RATE * FRAME_MS) / 1_000;
export const OPUS_CLOCK = 48_000;
/** RTP clock units of 20 ms of Opus (RFC 7587 §4.1). */
export const OPUS_FRAME_UNITS = (OPUS_CLOCK * FRAME_MS) / 1_000;
