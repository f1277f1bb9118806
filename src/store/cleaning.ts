import type { Clock, Log } from "#engine/ports.ts";
import { Repeating } from "#engine/repeating.ts";

/** Removes at most `limit` rows and says how many it removed. */
export type Removal = (limit: number) => Promise<number>;

/** Rows that one statement removes: some 30 ms for events with all that hangs on them, so that nobody waits for its locks. */
const BATCH = 1_000;
/** Batches of each kind in one run; what is left then is for the next run. */
const MAX_BATCHES = 500;
/** From one batch to the next, so that the others get at the disk. */
const PAUSE_MS = 50;
const RUN_EVERY_MS = 60_000;

export interface CleaningOptions {
  /** What is removed, in this order. */
  readonly removals: readonly Removal[];
  readonly clock: Clock;
  readonly log: Log;
}

/** Forgets what is older than it has to be known: every minute, in small batches, until nothing is left of it. */
export class Cleaning {
  readonly #options: CleaningOptions;
  readonly #chore: Repeating;
  #stopped = false;
  #endPause: (() => void) | undefined;

  constructor(options: CleaningOptions) {
    this.#options = options;
    const { clock, log } = options;
    this.#chore = new Repeating({
      name: "forget what is old",
      everyMs: RUN_EVERY_MS,
      task: () => this.#run(),
      clock,
      log,
    });
  }

  /** Does not wait for the first run: after a long time there may be much to forget. */
  start(): void {
    void this.#chore.start();
  }

  /** Resolves when the batch that is under way has ended. May be called twice. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#endPause?.();
    await this.#chore.stop();
  }

  async #run(): Promise<void> {
    const failures: unknown[] = [];
    for (const removal of this.#options.removals) {
      try {
        await this.#removeAll(removal);
      } catch (error) {
        // One kind that cannot be removed does not keep the others.
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  async #removeAll(removal: Removal): Promise<void> {
    for (let batch = 1; batch <= MAX_BATCHES && !this.#stopped; batch++) {
      if ((await removal(BATCH)) < BATCH || this.#stopped) return;
      await this.#pause();
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(PAUSE_MS, resolve);
      this.#endPause = () => {
        cancel();
        resolve();
      };
    });
  }
}
