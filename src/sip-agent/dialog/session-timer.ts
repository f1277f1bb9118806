import type { Clock } from "#sip-agent/ports.ts";
import { Alarm } from "#sip-agent/ua/alarm.ts";
import type { SessionAgreement } from "./session-agreement.ts";

/** A refresh that failed, or could not be sent because another offer was open, is tried again after this. */
const RETRY_MS = 5_000;

export type SessionActions = {
  /** Send a refresh now; it ends in a new agreement or in nothing. */
  readonly refresh: () => void;
  /** The session is over. */
  readonly expire: () => void;
};

/**
 * The life of one session (RFC 4028 §10).
 *
 *     we refresh      0 ───── interval/2: refresh, again every 5 s ───── interval: over
 *     they refresh    0 ───────────────────── interval − min(32 s, interval/3): over
 */
export class SessionTimer {
  readonly agreement: SessionAgreement;
  readonly #actions: SessionActions;
  readonly #refresh: Alarm;
  readonly #end: Alarm;

  constructor(clock: Clock, agreement: SessionAgreement, actions: SessionActions) {
    this.agreement = agreement;
    this.#actions = actions;
    this.#refresh = new Alarm(clock);
    this.#end = new Alarm(clock);
  }

  start(): void {
    const { intervalS, refresher } = this.agreement;
    const intervalMs = intervalS * 1000;
    const marginMs = refresher === "us" ? 0 : Math.min(32_000, intervalMs / 3);
    this.#end.start(intervalMs - marginMs, () => {
      this.stop();
      this.#actions.expire();
    });
    if (refresher === "us") this.#refreshAfter(intervalMs / 2);
  }

  /** The peer answered a refresh, though not by 2xx: it is there, and where we keep the timer alone that is enough. */
  heard(): void {
    if (this.agreement.alone) this.start();
  }

  stop(): void {
    this.#refresh.stop();
    this.#end.stop();
  }

  #refreshAfter(ms: number): void {
    this.#refresh.start(ms, () => {
      this.#refreshAfter(RETRY_MS);
      this.#actions.refresh();
    });
  }
}
