import { DigitReceiver } from "#core/rtp/digit-receiver.ts";
import { DigitSender } from "#core/rtp/digit-sender.ts";
import { keyOfEvent } from "#core/rtp/telephone-event.ts";
import type { DigitFormat } from "#core/sdp/session.ts";
import { DigitsToRtp } from "#media/stage/digits.ts";
import type { RtpOut } from "#media/stage/rtp-out.ts";

/** Clock of a receiver whose side agreed on no digits; nothing arrives then. */
const ANY_CLOCK = 8_000;

/** Keys from one leg to the other: heard once, told once, and sent on where the other leg can take them. */
export class DigitLane {
  received = 0;
  readonly receiver: DigitReceiver;
  readonly #out: RtpOut;
  readonly #now: () => number;
  #sender: DigitSender | undefined;
  #sentBefore = 0;

  constructor(out: RtpOut, now: () => number, tell: (digit: string, durationMs: number) => void) {
    this.#out = out;
    this.#now = now;
    this.receiver = new DigitReceiver(ANY_CLOCK, {
      onStart: (event, volume) => {
        if (out.isOpen) this.#sender?.start(event, volume, now());
      },
      onEnd: (event, durationMs) => {
        this.#sender?.finish(durationMs);
        this.received += 1;
        tell(keyOfEvent(event) ?? "", durationMs);
      },
    });
  }

  get sent(): number {
    return this.#sentBefore + (this.#sender?.sent ?? 0);
  }

  /** What the leg that keys come from agreed on. */
  setSource(format: DigitFormat | undefined): void {
    this.receiver.reset(this.#now());
    this.receiver.setClockRate(format?.clockRate ?? ANY_CLOCK);
  }

  /** What the leg that keys go to agreed on. */
  setTarget(format: DigitFormat | undefined): void {
    this.#sender?.clear();
    this.#sentBefore = this.sent;
    const output = format && new DigitsToRtp(this.#out, format.payloadType, this.#now);
    this.#sender = format && output && new DigitSender(format.clockRate, output);
  }

  /** Sends a whole digit of our own. False when it cannot be sent. */
  press(event: number, durationMs: number): boolean {
    return this.#out.isOpen && (this.#sender?.press(event, durationMs, this.#now()) ?? false);
  }

  /** To be called every 20 ms. */
  tick(at: number): void {
    if (this.receiver.active) this.receiver.tick(at);
    const sender = this.#sender;
    if (sender === undefined || !sender.active) return;
    if (this.#out.isOpen) sender.poll(at);
    else sender.clear();
  }
}
