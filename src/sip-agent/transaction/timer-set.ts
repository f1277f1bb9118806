import type { Clock } from "#sip-agent/ports.ts";
import type { TimerName } from "./machine.ts";

/** The running timers of one transaction. */
export class TimerSet {
  readonly #clock: Clock;
  readonly #fire: (timer: TimerName) => void;
  readonly #handles = new Map<TimerName, unknown>();

  constructor(clock: Clock, fire: (timer: TimerName) => void) {
    this.#clock = clock;
    this.#fire = fire;
  }

  start(timer: TimerName, ms: number): void {
    this.stop(timer);
    const handle = this.#clock.setTimeout(() => {
      this.#handles.delete(timer);
      this.#fire(timer);
    }, ms);
    this.#handles.set(timer, handle);
  }

  stop(timer: TimerName): void {
    const handle = this.#handles.get(timer);
    if (handle === undefined) return;
    this.#clock.clearTimeout(handle);
    this.#handles.delete(timer);
  }

  stopAll(): void {
    for (const handle of this.#handles.values()) this.#clock.clearTimeout(handle);
    this.#handles.clear();
  }
}
