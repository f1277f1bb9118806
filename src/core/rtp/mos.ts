import type { CodecName } from "#core/sdp/session.ts";

/** What an E-model estimate stands on; all of it measured on one leg. */
export interface Quality {
  readonly codec: CodecName;
  /** 0 to 1. */
  readonly lossRatio: number;
  readonly jitterMs: number;
  readonly roundTripMs?: number;
}

interface Impairment {
  /** Equipment impairment factor Ie. */
  readonly ie: number;
  /** Packet-loss robustness Bpl. */
  readonly bpl: number;
}

/**
 * ITU-T G.113 Appendix I gives G.711 with concealment Ie 0 and Bpl 25.1. It has no row for Opus: a wideband coder at 20 kbit/s
 * is set level with G.711, and in-band FEC makes it about as robust as G.711 with concealment.
 */
const impairments: Readonly<Record<CodecName, Impairment>> = {
  PCMU: { ie: 0, bpl: 25.1 },
  PCMA: { ie: 0, bpl: 25.1 },
  opus: { ie: 0, bpl: 25.1 },
};

/** R of a perfect narrowband connection with default parameters (ITU-T G.107 §7.7). */
const BEST_R = 93.2;
/** One packet and the coder's look-ahead. */
const CODING_DELAY_MS = 30;
/** From here on delay is heard in conversation (ITU-T G.107, in its common simplification). */
const NOTICED_DELAY_MS = 177.3;

/** Listening and conversation quality, 1 (bad) to 4.5, by the E-model (ITU-T G.107) in its common simplification. */
export function estimateMos(quality: Quality): number {
  // A jitter buffer of the receiver holds about twice the jitter.
  const delayMs = (quality.roundTripMs ?? 0) / 2 + quality.jitterMs * 2 + CODING_DELAY_MS;
  const late = delayMs > NOTICED_DELAY_MS ? 0.11 * (delayMs - NOTICED_DELAY_MS) : 0;
  const delayImpairment = 0.024 * delayMs + late;
  const { ie, bpl } = impairments[quality.codec];
  const lossPercent = Math.min(100, Math.max(0, quality.lossRatio * 100));
  const equipmentImpairment = ie + (95 - ie) * (lossPercent / (lossPercent + bpl));
  return mosOfR(BEST_R - delayImpairment - equipmentImpairment);
}

/** ITU-T G.107 Annex B. */
export function mosOfR(r: number): number {
  if (r <= 0) return 1;
  if (r >= 100) return 4.5;
  return Math.max(1, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6);
}
