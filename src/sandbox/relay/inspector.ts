import {
  DIGITS,
  DIGITS_PT,
  FRAME_TICKS,
  OPUS_PT,
  opusTicks,
  type RtpPacket,
  sequenceDistance,
  timestampDistance,
} from "./rtp.ts";

/** What the relay looks at in the packets of the business, rule by rule (the media table in the README). */
export const mediaRules = {
  M8: "no RTP before the 200 of accept",
  M9: "one SSRC for the whole call; packets of others are dropped",
  M11: "20 ms of Opus under payload type 111, timestamps that go on by 960 a frame",
  M12: "digits under payload type 126 in the same sequence of packets, three ends each",
} as const;

export type MediaRule = keyof typeof mediaRules;

/** A broken rule is reported this often for each call; more would only repeat it. */
const MAX_REPORTS_PER_RULE = 5;

/** Time goes on while a sender is held up: whole frames may be missing, but a longer silence has to be filled. */
const MAX_PAUSE_TICKS = 10 * FRAME_TICKS;

/** A digit ends with three packets (RFC 4733 §2.5.1.4). */
const END_PACKETS = 3;

interface DigitEvent {
  readonly timestamp: number;
  readonly digit: string;
  ends: number;
}

/** Judges the RTP of the business, packet by packet, and counts it. */
export class Inspector {
  packets = 0;
  digits = "";
  readonly #onViolation: (rule: MediaRule, text: string) => void;
  readonly #reports = new Map<MediaRule, number>();
  #ssrc: number | undefined;
  #first: number | undefined;
  #highest = 0;
  #cycles = 0;
  #last: { readonly sequence: number; readonly timestamp: number } | undefined;
  #event: DigitEvent | undefined;

  constructor(onViolation: (rule: MediaRule, text: string) => void) {
    this.#onViolation = onViolation;
  }

  /** The SSRC of the business, once it sent. */
  get ssrc(): number | undefined {
    return this.#ssrc;
  }

  /** Sequence numbers that never came. */
  get lost(): number {
    return this.#first === undefined ? 0 : Math.max(0, this.extendedHighest - this.#first + 1 - this.packets);
  }

  get extendedHighest(): number {
    return this.#cycles + this.#highest;
  }

  /** False: the packet is dropped. */
  take(packet: RtpPacket, accepted: boolean): boolean {
    if (!accepted) this.#report("M8", "RTP came before the 200 of accept: the call counts as accepted");
    if (this.#ssrc === undefined) this.#begin(packet);
    if (packet.ssrc !== this.#ssrc) {
      this.#report("M9", `A second SSRC (${packet.ssrc}) beside ${this.#ssrc}`);
      return false;
    }
    this.packets += 1;
    this.#advance(packet.sequence);
    if (packet.payloadType === OPUS_PT) this.#audio(packet);
    else if (packet.payloadType === DIGITS_PT) this.#digit(packet);
    else {
      this.#report("M11", `Payload type ${packet.payloadType} was not negotiated`);
      return false;
    }
    return true;
  }

  #begin(packet: RtpPacket): void {
    this.#ssrc = packet.ssrc;
    this.#first = packet.sequence;
    this.#highest = packet.sequence;
  }

  #advance(sequence: number): void {
    if (sequenceDistance(sequence, this.#highest) <= 0) return;
    if (sequence < this.#highest) this.#cycles += 0x10000;
    this.#highest = sequence;
  }

  #audio(packet: RtpPacket): void {
    const ticks = opusTicks(packet.payload);
    if (ticks !== FRAME_TICKS) this.#report("M11", `A packet of ${ticks / 48} ms instead of 20 ms`);
    const last = this.#last;
    if (last !== undefined) {
      const steps = sequenceDistance(packet.sequence, last.sequence);
      const ran = timestampDistance(packet.timestamp, last.timestamp);
      const skipped = ran - steps * FRAME_TICKS;
      const pause = skipped > 0 && skipped <= MAX_PAUSE_TICKS && skipped % FRAME_TICKS === 0;
      if (steps !== 0 && skipped !== 0 && !pause) {
        this.#report("M11", `The timestamp went on by ${ran} over ${steps} packets`);
      }
    }
    this.#closeEvent();
    this.#last = { sequence: packet.sequence, timestamp: packet.timestamp };
  }

  #digit(packet: RtpPacket): void {
    // After digits, which take sequence numbers of their own, only the direction of time can be judged.
    this.#last = undefined;
    if (packet.payload.length < 4) {
      this.#report("M12", "A telephone-event of less than 4 bytes");
      return;
    }
    const digit = DIGITS[packet.payload.readUInt8(0)] ?? "?";
    const ended = (packet.payload.readUInt8(1) & 0x80) !== 0;
    if (this.#event?.timestamp !== packet.timestamp) {
      this.#closeEvent();
      if (!packet.marker) this.#report("M12", "The first packet of a digit has no marker");
      this.#event = { timestamp: packet.timestamp, digit, ends: 0 };
    }
    if (!ended) return;
    if (this.#event.ends === 0) this.digits += digit;
    this.#event.ends += 1;
  }

  #closeEvent(): void {
    const event = this.#event;
    this.#event = undefined;
    if (event !== undefined && event.ends < END_PACKETS) {
      this.#report("M12", `Digit ${event.digit} ended with ${event.ends} packets instead of ${END_PACKETS}`);
    }
  }

  #report(rule: MediaRule, text: string): void {
    const count = (this.#reports.get(rule) ?? 0) + 1;
    this.#reports.set(rule, count);
    if (count <= MAX_REPORTS_PER_RULE) this.#onViolation(rule, text);
  }
}
