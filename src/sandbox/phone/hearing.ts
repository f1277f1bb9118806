import { DIGITS, DIGITS_PT, OPUS_PT, readRtp, sequenceDistance, timestampDistance } from "#sandbox/relay/rtp.ts";

/** A gap in timestamps longer than this is a new beginning, not lost audio. */
const LONGEST_GAP_TICKS = 48_000 * 5;

/** Reads the RTP that a user gets: what is audio, what are digits, what is missing. */
export class Hearing {
  packets = 0;
  lost = 0;
  digits = "";
  /** When the first packet came, and the longest time between two; milliseconds. */
  firstAt: number | undefined;
  longestPauseMs = 0;
  #lastAt: number | undefined;
  #ssrc: number | undefined;
  #highest: number | undefined;
  #nextTimestamp: number | undefined;
  #digitAt: number | undefined;

  /** Opus of an audio packet and the ticks of 48 kHz that are missing before it; undefined for all else. */
  take(packet: Buffer, at: number): { readonly opus: Buffer; readonly missingTicks: number } | undefined {
    const rtp = readRtp(packet);
    if (rtp === undefined) return undefined;
    if (this.#ssrc !== rtp.ssrc) this.#reset(rtp.ssrc);
    this.packets += 1;
    this.firstAt ??= at;
    this.longestPauseMs = Math.max(this.longestPauseMs, at - (this.#lastAt ?? at));
    this.#lastAt = at;
    const ahead = this.#highest === undefined ? 1 : sequenceDistance(rtp.sequence, this.#highest);
    if (ahead <= 0) return undefined;
    this.lost += ahead - 1;
    this.#highest = rtp.sequence;
    if (rtp.payloadType === DIGITS_PT && rtp.payload.length >= 4) this.#digit(rtp.timestamp, rtp.payload.readUInt8(0));
    if (rtp.payloadType !== OPUS_PT) return undefined;
    const gap = this.#nextTimestamp === undefined ? 0 : timestampDistance(rtp.timestamp, this.#nextTimestamp);
    this.#nextTimestamp = (rtp.timestamp + 960) >>> 0;
    return { opus: rtp.payload, missingTicks: gap > 0 && gap < LONGEST_GAP_TICKS ? gap : 0 };
  }

  #digit(timestamp: number, event: number): void {
    if (this.#digitAt === timestamp) return;
    this.#digitAt = timestamp;
    this.digits += DIGITS[event] ?? "?";
  }

  #reset(ssrc: number): void {
    this.#ssrc = ssrc;
    this.#highest = undefined;
    this.#nextTimestamp = undefined;
  }
}
