import { sequenceDistance } from "./serial.ts";

/** A jump of more than this is a new start, not loss (RFC 3550 §A.1). */
const MAX_DROPOUT = 3_000;
const MAX_MISORDER = 100;
const SEQUENCES = 0x1_0000;

/** What a report block says about one source (RFC 3550 §6.4.1). */
export interface ReceptionReport {
  readonly ssrc: number;
  /** Loss since the last report, in 1/256. */
  readonly fractionLost: number;
  /** Signed, because duplicates count as received. */
  readonly cumulativeLost: number;
  readonly extendedHighestSequence: number;
  /** In units of the RTP clock. */
  readonly jitter: number;
}

/**
 * Reception statistics of one incoming stream: loss by sequence numbers (RFC 3550 §A.1, §A.3), interarrival jitter (§A.8),
 * the longest gap. A new SSRC or a restart of the sequence is counted on, so that the totals belong to the whole leg.
 */
export class Reception {
  packets = 0;
  bytes = 0;
  /** When the first packet came. */
  firstAt = 0;
  longestGapMs = 0;
  ssrc: number | undefined;

  #base = 0;
  #highest = 0;
  #cycles = 0;
  #received = 0;
  /** Where the sequence would go on after a jump; two packets in a row make it a restart. */
  #badSequence = -1;
  /** Of sequences that are over. */
  #expectedBefore = 0;
  #receivedBefore = 0;
  #expectedReported = 0;
  #receivedReported = 0;
  /** Of the packet before; undefined when there is none to compare with. */
  #transit: number | undefined;
  #jitter = 0;
  #lastAt = 0;
  #clockRate = 8_000;

  /** Changes the RTP clock, as when the codec changes. */
  setClockRate(clockRate: number): void {
    if (clockRate === this.#clockRate) return;
    this.#jitter = (this.#jitter * clockRate) / this.#clockRate;
    this.#clockRate = clockRate;
    this.#transit = undefined;
  }

  /**
   * Counts one packet. `at` is its arrival in milliseconds. `timed` is false for packets whose timestamp does not tell when they
   * were sent: telephone-events (RFC 4733 §2.2).
   */
  take(ssrc: number, sequence: number, timestamp: number, at: number, bytes: number, timed: boolean): void {
    if (ssrc !== this.ssrc) this.#restart(ssrc, sequence);
    else this.#follow(sequence);
    this.packets += 1;
    this.bytes += bytes;
    this.#received += 1;
    if (this.packets === 1) this.firstAt = at;
    else if (at - this.#lastAt > this.longestGapMs) this.longestGapMs = at - this.#lastAt;
    this.#lastAt = at;
    if (timed) this.#measureJitter(timestamp, at);
  }

  #follow(sequence: number): void {
    const ahead = sequenceDistance(this.#highest, sequence);
    if (ahead > 0 && ahead < MAX_DROPOUT) {
      if (sequence < this.#highest) this.#cycles += SEQUENCES;
      this.#highest = sequence;
      this.#badSequence = -1;
    } else if (ahead >= MAX_DROPOUT || ahead < -MAX_MISORDER) {
      if (sequence === this.#badSequence) {
        // The packet before this one was the first of the new sequence: it was counted as received there.
        this.#received -= 1;
        this.#restart(this.ssrc ?? 0, (sequence - 1) & 0xffff);
        this.#received = 1;
        this.#highest = sequence;
        if (sequence === 0) this.#cycles = SEQUENCES;
      } else this.#badSequence = (sequence + 1) & 0xffff;
    }
  }

  #restart(ssrc: number, sequence: number): void {
    if (this.ssrc !== undefined) {
      this.#expectedBefore += this.#expectedNow();
      this.#receivedBefore += this.#received;
    }
    this.ssrc = ssrc;
    this.#base = sequence;
    this.#highest = sequence;
    this.#cycles = 0;
    this.#received = 0;
    this.#badSequence = -1;
    this.#expectedReported = 0;
    this.#receivedReported = 0;
    this.#transit = undefined;
  }

  #measureJitter(timestamp: number, at: number): void {
    const transit = ((at * this.#clockRate) / 1_000 - timestamp) | 0;
    if (this.#transit !== undefined) {
      const difference = Math.abs((transit - this.#transit) | 0);
      // A jump of seconds is another source behind the same SSRC, not jitter.
      if (difference < this.#clockRate * 2) this.#jitter += (difference - this.#jitter) / 16;
    }
    this.#transit = transit;
  }

  #expectedNow(): number {
    return this.ssrc === undefined ? 0 : this.#cycles + this.#highest - this.#base + 1;
  }

  get expected(): number {
    return this.#expectedBefore + this.#expectedNow();
  }

  get lost(): number {
    return Math.max(0, this.expected - this.#receivedBefore - this.#received);
  }

  /** 0 to 1. */
  get lossRatio(): number {
    return this.expected === 0 ? 0 : this.lost / this.expected;
  }

  get jitterMs(): number {
    return (this.#jitter * 1_000) / this.#clockRate;
  }

  /** The next report block; its fraction counts from the report before. undefined when nothing was received yet. */
  report(): ReceptionReport | undefined {
    if (this.ssrc === undefined) return undefined;
    const expected = this.#expectedNow();
    const expectedSince = expected - this.#expectedReported;
    const lostSince = expectedSince - (this.#received - this.#receivedReported);
    this.#expectedReported = expected;
    this.#receivedReported = this.#received;
    return {
      ssrc: this.ssrc,
      fractionLost:
        expectedSince <= 0 || lostSince <= 0 ? 0 : Math.min(255, Math.floor((lostSince * 256) / expectedSince)),
      cumulativeLost: Math.max(-0x80_0000, Math.min(0x7f_ffff, expected - this.#received)),
      extendedHighestSequence: (this.#cycles + this.#highest) >>> 0,
      jitter: Math.floor(this.#jitter),
    };
  }
}
