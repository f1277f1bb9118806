import { timestampDistance } from "./serial.ts";
import { keyOfEvent, type TelephoneEvent } from "./telephone-event.ts";

/** Senders repeat an event every 20 to 50 ms (RFC 4733 §2.5.1.2): after this silence its end is lost. */
const END_LOST_MS = 200;

/** After this long no packet of the last digit is still under way, and its timestamp tells nothing any more. */
const FORGET_MS = 10_000;

/** Called from within `take` and `tick`. */
export interface DigitEvents {
  /** A key went down. */
  onStart(event: number, volume: number): void;
  /** The same key went up. */
  onEnd(event: number, durationMs: number): void;
}

interface Sounding {
  readonly event: number;
  /** Of the digit, or of its present segment. */
  timestamp: number;
  /** Units of the segments before the present one (RFC 4733 §2.5.1.3). */
  earlier: number;
  duration: number;
  seenAt: number;
}

/**
 * Makes keys out of telephone-event packets: each key once and in order, however often its packets are repeated, late or
 * lost. A key is known by its timestamp: every packet of it carries that of its start.
 */
export class DigitReceiver {
  readonly #events: DigitEvents;
  #clockRate: number;
  #now: Sounding | undefined;
  /** Timestamp of the last key that is over. */
  #over: { readonly timestamp: number; readonly at: number } | undefined;

  constructor(clockRate: number, events: DigitEvents) {
    this.#clockRate = clockRate;
    this.#events = events;
  }

  get active(): boolean {
    return this.#now !== undefined;
  }

  setClockRate(clockRate: number): void {
    this.#clockRate = clockRate;
  }

  /** One packet; `at` in milliseconds of a monotonic clock. */
  take(event: TelephoneEvent, timestamp: number, marker: boolean, at: number): void {
    if (keyOfEvent(event.event) === undefined) return;
    if (this.#over !== undefined && at - this.#over.at > FORGET_MS) this.#over = undefined;
    if (this.#over !== undefined && timestampDistance(this.#over.timestamp, timestamp) <= 0) return;
    const now = this.#now;
    if (now !== undefined && timestamp !== now.timestamp) {
      if (timestampDistance(now.timestamp, timestamp) < 0) return;
      if (continues(now, event, timestamp, marker)) {
        now.earlier += now.duration;
        now.duration = 0;
        now.timestamp = timestamp;
      } else this.#end(at);
    }
    this.#sound(event, timestamp, at);
  }

  #sound(event: TelephoneEvent, timestamp: number, at: number): void {
    let now = this.#now;
    if (now === undefined) {
      now = { event: event.event, timestamp, earlier: 0, duration: 0, seenAt: at };
      this.#now = now;
      this.#events.onStart(event.event, event.volume);
    }
    if (event.duration > now.duration) now.duration = event.duration;
    now.seenAt = at;
    if (event.end) this.#end(at);
  }

  /** Ends a key whose end packets were all lost. To be called every 20 ms or so. */
  tick(at: number): void {
    if (this.#now !== undefined && at - this.#now.seenAt >= END_LOST_MS) this.#end(at);
  }

  /** The stream begins anew: another SSRC, another session. A key that sounds is over. */
  reset(at: number): void {
    if (this.#now !== undefined) this.#end(at);
    this.#over = undefined;
  }

  #end(at: number): void {
    const now = this.#now;
    if (now === undefined) return;
    this.#now = undefined;
    this.#over = { timestamp: now.timestamp, at };
    this.#events.onEnd(now.event, ((now.earlier + now.duration) * 1_000) / this.#clockRate);
  }
}

/** RFC 4733 §2.5.1.3: a key that is held longer than the field can say goes on in a segment that follows without a gap. */
function continues(now: Sounding, event: TelephoneEvent, timestamp: number, marker: boolean): boolean {
  return !marker && event.event === now.event && timestampDistance(now.timestamp, timestamp) === now.duration;
}
