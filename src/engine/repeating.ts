import type { Clock, Log } from "./ports.ts";

export interface RepeatingOptions {
  /** For the log. */
  readonly name: string;
  /** From the end of one run to the start of the next. */
  readonly everyMs: number;
  readonly task: () => Promise<unknown>;
  readonly clock: Clock;
  readonly log: Log;
}

/** A chore: done at the start and again and again; a failure is told and does not end it. */
export class Repeating {
  readonly #options: RepeatingOptions;
  #cancel: (() => void) | undefined;
  #running: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: RepeatingOptions) {
    this.#options = options;
  }

  /** Resolves after the first run. */
  start(): Promise<void> {
    this.#running = this.#run();
    return this.#running;
  }

  /** Resolves when a run that is under way has ended. May be called twice. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { name, task, everyMs, clock, log } = this.#options;
    try {
      await task();
    } catch (error) {
      log.warn({ err: error, chore: name }, "a chore failed and will be tried again");
    }
    if (!this.#stopped) this.#cancel = clock.after(everyMs, () => void this.start());
  }
}
