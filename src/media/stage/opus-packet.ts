import { OPUS_FRAME_UNITS } from "./sink.ts";

/** What can be read of an Opus packet without decoding it: its first byte, the TOC (RFC 6716 §3.1). */

/** Units of the 48 kHz clock of one frame, by the two low bits of the configuration number, for SILK, hybrid and CELT. */
const SILK_UNITS = [480, 960, 1_920, 2_880] as const;
const HYBRID_UNITS = [480, 960] as const;
const CELT_UNITS = [120, 240, 480, 960] as const;

function frameUnits(toc: number): number {
  const config = toc >> 3;
  if (config < 12) return SILK_UNITS[config & 3] ?? 0;
  if (config < 16) return HYBRID_UNITS[config & 1] ?? 0;
  return CELT_UNITS[config & 3] ?? 0;
}

/** Length of a packet in units of the 48 kHz clock; that of 20 ms when it cannot be told. At most 120 ms. */
export function opusUnits(bytes: Uint8Array, start: number, end: number): number {
  if (start >= end) return OPUS_FRAME_UNITS;
  const toc = bytes[start] ?? 0;
  const code = toc & 3;
  const frames = code === 0 ? 1 : code < 3 ? 2 : (bytes[start + 1] ?? 1) & 63;
  const units = frames * frameUnits(toc);
  return units > 0 && units <= OPUS_FRAME_UNITS * 6 ? units : OPUS_FRAME_UNITS;
}

/**
 * Whether a packet carries in-band FEC for the frame before it: the LBRR flag of its first SILK frame (RFC 6716 §4.2.3).
 * Told for packets of one frame, which is what everybody sends; for others, and for CELT, false.
 */
export function hasFec(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start < 2) return false;
  const toc = bytes[start] ?? 0;
  const config = toc >> 3;
  if (config >= 16 || (toc & 3) !== 0) return false;
  // Before the LBRR flag there is one voice activity flag for each 20 ms.
  const silkFrames = Math.max(1, frameUnits(toc) / OPUS_FRAME_UNITS);
  return (((bytes[start + 1] ?? 0) >> (7 - silkFrames)) & 1) === 1;
}
