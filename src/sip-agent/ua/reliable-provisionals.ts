import type { SipResponse } from "#sip-agent/message/message.ts";
import { patience } from "#sip-agent/transaction/machine.ts";
import { Alarm } from "./alarm.ts";
import type { Context } from "./context.ts";

/**
 * The reliable provisional responses of one INVITE that we received (RFC 3262 §3): numbered, repeated until their PRACK, one
 * at a time; what the application sends meanwhile waits its turn.
 */
export class ReliableProvisionals {
  readonly #context: Context;
  readonly #transmit: (response: SipResponse) => void;
  readonly #onTimeout: () => void;
  readonly #repeat: Alarm;
  readonly #deadline: Alarm;
  #numbered = 0;
  /** The RSeq that waits for its PRACK. */
  #open: number | undefined;
  #waiting: (() => void)[] = [];

  constructor(context: Context, transmit: (response: SipResponse) => void, onTimeout: () => void) {
    this.#context = context;
    this.#transmit = transmit;
    this.#onTimeout = onTimeout;
    this.#repeat = new Alarm(context.clock);
    this.#deadline = new Alarm(context.clock);
  }

  nextNumber(): number {
    this.#numbered += 1;
    return this.#numbered;
  }

  send(response: SipResponse): void {
    this.whenAcknowledged(() => this.#begin(response));
  }

  /** Runs at once, or after the PRACK that is awaited and after what waited before. */
  whenAcknowledged(run: () => void): void {
    if (this.#open === undefined) run();
    else this.#waiting.push(run);
  }

  /** `RAck: RSEQ CSEQ INVITE`; true if it is the awaited one. */
  acknowledge(rack: string | undefined, inviteSequence: number | undefined): boolean {
    const [, rseq, cseq] = /^\s*(\d{1,10})\s+(\d{1,10})\s+INVITE\s*$/.exec(rack ?? "") ?? [];
    if (this.#open === undefined || Number(rseq) !== this.#open || Number(cseq) !== inviteSequence) return false;
    this.#open = undefined;
    this.#repeat.stop();
    this.#deadline.stop();
    while (this.#open === undefined) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      next();
    }
    return true;
  }

  stop(): void {
    this.#repeat.stop();
    this.#deadline.stop();
    this.#waiting = [];
    this.#open = undefined;
  }

  #begin(response: SipResponse): void {
    const { timers } = this.#context;
    this.#open = Number(response.headers.get("RSeq"));
    this.#transmit(response);
    // RFC 3262 §3: T1, doubling without a ceiling, for 64·T1.
    const repeat = (ms: number): void => {
      this.#repeat.start(ms, () => {
        this.#transmit(response);
        repeat(ms * 2);
      });
    };
    repeat(timers.t1Ms);
    this.#deadline.start(patience(timers), () => {
      this.stop();
      this.#onTimeout();
    });
  }
}
