import type { ToneReport } from "#core/audio/tone.ts";
import type { CallEnd } from "#sandbox/meta/calls.ts";
import type { RelayStatistics } from "#sandbox/relay/ports.ts";

/** A call as a simulated WhatsApp user has it, whatever carries the audio. */
export interface UserCall {
  readonly wacid: string;
  /** True when the display changed to "Ringing" (pre_accept, or at the latest the pickup); false when it ended before. */
  readonly ringing: Promise<boolean>;
  /** True when the call was picked up; false when it ended before. */
  readonly answered: Promise<boolean>;
  readonly ended: Promise<CallEnd>;
  /** Says a tone until told otherwise. `amplitude` is 0 to 1. */
  sendTone(hz: number, amplitude?: number): void;
  silence(): void;
  /** Presses keys; resolves when the last one is released. */
  sendDigits(digits: string): Promise<void>;
  /** Listens from now on; resolves early when the call ends. */
  listen(ms: number, expectedHz?: number): Promise<ToneReport>;
  /**
   * Milliseconds from a burst's leaving to its echo's coming back, codecs included; undefined when none came. Needs an echo at
   * the other end; stops the tone.
   */
  measureRoundTrip(): Promise<number | undefined>;
  statistics(): Promise<UserStatistics>;
  hangUp(): void;
}

export interface UserStatistics {
  /** From the call's start to pre_accept, the pickup, the first packet and the first sound, milliseconds. */
  readonly ringingMs?: number;
  readonly answeredMs?: number;
  readonly firstPacketMs?: number;
  readonly firstSoundMs?: number;
  readonly packetsHeard: number;
  readonly packetsSent: number;
  /** Packets of the other side that never came. */
  readonly lost: number;
  /** Longest time between two packets, milliseconds; absent where packets are not seen. */
  readonly longestPauseMs?: number;
  /** Digits that came as telephone-events. */
  readonly digitsHeard: string;
  /** The same call seen from the relay; absent where the phone is not in this process. */
  readonly relay?: RelayStatistics;
}

/** The promises of a call, kept by whoever hears of its progress. */
export class Progress {
  readonly ringing: Promise<boolean>;
  readonly answered: Promise<boolean>;
  readonly ended: Promise<CallEnd>;
  ringingMs: number | undefined;
  answeredMs: number | undefined;
  over = false;
  readonly #startedAt: number;
  readonly #now: () => number;
  readonly #setRinging: (ringing: boolean) => void;
  readonly #setAnswered: (answered: boolean) => void;
  readonly #setEnded: (end: CallEnd) => void;

  constructor(now: () => number) {
    this.#now = now;
    this.#startedAt = now();
    [this.ringing, this.#setRinging] = promiseOf<boolean>();
    [this.answered, this.#setAnswered] = promiseOf<boolean>();
    [this.ended, this.#setEnded] = promiseOf<CallEnd>();
  }

  /** Milliseconds since the call was placed. */
  since(at: number): number {
    return at - this.#startedAt;
  }

  ring(): void {
    this.ringingMs ??= this.since(this.#now());
    this.#setRinging(true);
  }

  pickUp(): void {
    this.ring();
    this.answeredMs ??= this.since(this.#now());
    this.#setAnswered(true);
  }

  end(end: CallEnd): void {
    this.over = true;
    this.#setRinging(false);
    this.#setAnswered(false);
    this.#setEnded(end);
  }
}

function promiseOf<T>(): readonly [Promise<T>, (value: T) => void] {
  const { promise, resolve } = Promise.withResolvers<T>();
  return [promise, resolve];
}
