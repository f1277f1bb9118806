/** Between two packets of a digit (RFC 4733 §2.5.1.2 asks for at most 50 ms). */
const PACKET_MS = 20;
/** `poll` comes every 20 ms, but for the first time right away: a packet is not repeated sooner than this. */
const MIN_INTERVAL_MS = 12;
/** RFC 4733 §2.5.1.4: the last packet is sent three times. */
const END_PACKETS = 3;
/** Shorter tones are not taken for a key by equipment that makes tones of them (ITU-T Q.24). */
const MIN_DIGIT_MS = 40;
/** A key that is held longer is told as this long. */
const MAX_DIGIT_MS = 6_000;
/** The duration field has 16 bits. */
const MAX_DURATION = 0xffff;
/** Keys that wait while others are sent; nobody types further ahead. */
const MAX_QUEUED_DIGITS = 32;
const USUAL_VOLUME = 10;

/** Where the packets of digits go. */
export interface DigitOutput {
  /** A digit begins: takes the timestamp that all its packets carry. Audio is held back from now on. */
  begin(): void;
  /** `duration` in units of the digit clock; `marker` on the first packet of a digit only. */
  packet(event: number, end: boolean, volume: number, duration: number, marker: boolean): void;
  /** The digit is over. Audio may go on. */
  done(durationMs: number): void;
}

interface Digit {
  readonly event: number;
  readonly volume: number;
  /** undefined while the key is still down. */
  durationMs: number | undefined;
}

/** Sends keys as telephone-events, one after the other, paced by `poll`, whatever became of the packets they came in. */
export class DigitSender {
  readonly #out: DigitOutput;
  readonly #queue: Digit[] = [];
  #clockRate: number;
  #startedAt = 0;
  #sentAt = 0;
  #sending = false;
  #duration = 0;
  #ends = 0;
  sent = 0;

  constructor(clockRate: number, out: DigitOutput) {
    this.#clockRate = clockRate;
    this.#out = out;
  }

  /** A digit is being sent, or waits for its turn. */
  get active(): boolean {
    return this.#queue.length > 0;
  }

  setClockRate(clockRate: number): void {
    this.#clockRate = clockRate;
  }

  /** A key went down; its packets start at once. False when too many wait. */
  start(event: number, volume: number, now: number): boolean {
    if (this.#queue.length >= MAX_QUEUED_DIGITS) return false;
    this.finish(MIN_DIGIT_MS);
    this.#queue.push({ event, volume, durationMs: undefined });
    this.poll(now);
    return true;
  }

  /** The key that went down last went up. */
  finish(durationMs: number): void {
    const digit = this.#queue.at(-1);
    if (digit !== undefined && digit.durationMs === undefined) digit.durationMs = Math.max(MIN_DIGIT_MS, durationMs);
  }

  /** A whole digit. False when too many wait. */
  press(event: number, durationMs: number, now: number): boolean {
    if (!this.start(event, USUAL_VOLUME, now)) return false;
    this.finish(durationMs);
    return true;
  }

  /** To be called every 20 ms. */
  poll(now: number): void {
    const digit = this.#queue[0];
    if (digit === undefined) return;
    if (!this.#sending) this.#begin(now);
    else if (now - this.#sentAt < MIN_INTERVAL_MS) return;
    this.#sentAt = now;
    // The first packet tells of the 20 ms that it stands for.
    const elapsedMs = now - this.#startedAt + PACKET_MS;
    const limitMs = Math.min(MAX_DIGIT_MS, (MAX_DURATION * 1_000) / this.#clockRate);
    const targetMs = Math.min(limitMs, digit.durationMs ?? limitMs);
    const marker = this.#duration === 0;
    if (elapsedMs < targetMs || marker) {
      this.#duration = this.#units(Math.min(elapsedMs, targetMs));
      this.#out.packet(digit.event, false, digit.volume, this.#duration, marker);
      return;
    }
    if (this.#ends === 0) this.#duration = Math.max(this.#duration, this.#units(targetMs));
    this.#ends += 1;
    this.#out.packet(digit.event, true, digit.volume, this.#duration, false);
    if (this.#ends === END_PACKETS) this.#done();
  }

  /** Forgets what waits, as when the far end stopped taking digits. */
  clear(): void {
    this.#queue.length = 0;
    if (this.#sending) this.#done();
  }

  #begin(now: number): void {
    this.#sending = true;
    this.#startedAt = now;
    this.#duration = 0;
    this.#ends = 0;
    this.#out.begin();
  }

  #done(): void {
    this.#queue.shift();
    this.#sending = false;
    this.sent += 1;
    this.#out.done((this.#duration * 1_000) / this.#clockRate);
  }

  #units(ms: number): number {
    return Math.min(MAX_DURATION, Math.round((ms * this.#clockRate) / 1_000));
  }
}
