import { PonteError } from "#core/error.ts";
import type { Clock, Log } from "#engine/ports.ts";

/** Waits between attempts at the store: soon, because it is often only a restart. */
const WAITS_MS = [50, 100, 200, 400, 800, 1_000] as const;

/** Does things with the store again while it is away. */
export class Stubborn {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #waiting = new Set<() => void>();
  #given = false;

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  /**
   * What is written down after an outside call must not get lost because the store is away for a while: it is tried until it
   * succeeds, fails for good, or `giveUp` was called. Rejects with the last error.
   */
  async do<T>(what: string, work: () => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await work();
      } catch (error) {
        if (this.#given || !(error instanceof PonteError) || !error.retryable) throw error;
        if (attempt === 0) this.#log.warn({ err: error, what }, "the store is away; trying again");
        await this.#wait(WAITS_MS[Math.min(attempt, WAITS_MS.length - 1)] ?? 1_000);
      }
    }
  }

  /** The process ends: from now on the first failure counts. */
  giveUp(): void {
    this.#given = true;
    for (const end of [...this.#waiting]) end();
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        cancel();
        this.#waiting.delete(end);
        resolve();
      };
      const cancel = this.#clock.after(ms, end);
      this.#waiting.add(end);
    });
  }
}
