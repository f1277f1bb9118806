/** Time, so that tests can move it; `#media/transport/system-clock.ts` has the real one. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Runs `task` once, after `afterMs` milliseconds; returns what cancels it. */
  after(afterMs: number, task: () => void): () => void;
}

/** The timers of one part of the sandbox, so that its `stop()` leaves none behind. */
export class Timers {
  readonly #clock: Clock;
  readonly #pending = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  after(afterMs: number, task: () => void): () => void {
    const cancelClock = this.#clock.after(afterMs, () => {
      this.#pending.delete(cancel);
      task();
    });
    const cancel = (): void => {
      this.#pending.delete(cancel);
      cancelClock();
    };
    this.#pending.add(cancel);
    return cancel;
  }

  get pending(): number {
    return this.#pending.size;
  }

  cancelAll(): void {
    for (const cancel of [...this.#pending]) cancel();
  }
}
