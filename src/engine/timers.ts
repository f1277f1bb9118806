import type { Timer } from "#core/call/event.ts";
import type { Clock } from "./ports.ts";

/** The running timers of one call, by name. */
export class CallTimers {
  readonly #clock: Clock;
  readonly #fire: (timer: Timer) => void;
  readonly #running = new Map<Timer, () => void>();

  constructor(clock: Clock, fire: (timer: Timer) => void) {
    this.#clock = clock;
    this.#fire = fire;
  }

  /** Starts a timer; one of that name that runs is replaced. */
  start(timer: Timer, afterMs: number): void {
    this.stop(timer);
    const cancel = this.#clock.after(afterMs, () => {
      this.#running.delete(timer);
      this.#fire(timer);
    });
    this.#running.set(timer, cancel);
  }

  stop(timer: Timer): void {
    this.#running.get(timer)?.();
    this.#running.delete(timer);
  }

  stopAll(): void {
    for (const cancel of this.#running.values()) cancel();
    this.#running.clear();
  }
}
