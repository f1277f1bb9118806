import { type Clock, Timers } from "./clock.ts";
import type { HttpAnswer, HttpRequest, HttpSend } from "./http-client.ts";

export interface WebhookTimings {
  /** From the event to its first delivery. */
  readonly delayMs: number;
  /** Without an answer after this the delivery counts as failed. */
  readonly timeoutMs: number;
  /** Waiting times before each repetition; after the last one the event is lost. */
  readonly retryDelaysMs: readonly number[];
}

/** Delivers until somebody takes it: the life that all senders of webhooks share. What is sent is their own business. */
export class Courier {
  readonly #timers: Timers;
  readonly #send: HttpSend;
  readonly #inFlight = new Set<AbortController>();
  readonly #waiting = new Set<() => void>();
  readonly #running = new Set<Promise<boolean>>();
  #stopped = false;

  constructor(clock: Clock, send: HttpSend) {
    this.#timers = new Timers(clock);
    this.#send = send;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /**
   * Attempts, counted from 1, until one resolves with true.
   *
   * @returns false when it was given up.
   */
  deliver(
    { delayMs, retryDelaysMs }: Omit<WebhookTimings, "timeoutMs">,
    attempt: (count: number) => Promise<boolean>,
  ): Promise<boolean> {
    const running = this.#run(delayMs, retryDelaysMs, attempt);
    this.#running.add(running);
    void running.finally(() => this.#running.delete(running));
    return running;
  }

  /** Undefined: no answer came in time. */
  async request(request: HttpRequest, timeoutMs: number): Promise<HttpAnswer | undefined> {
    const controller = new AbortController();
    this.#inFlight.add(controller);
    const cancel = this.#timers.after(timeoutMs, () => controller.abort());
    try {
      return await this.#send(request, controller.signal);
    } catch {
      return undefined; // No answer is an outcome; whoever asked repeats or gives up.
    } finally {
      cancel();
      this.#inFlight.delete(controller);
    }
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  stop(): void {
    this.#stopped = true;
    this.#timers.cancelAll();
    for (const controller of this.#inFlight) controller.abort();
    for (const wake of [...this.#waiting]) wake();
  }

  async #run(
    delayMs: number,
    retryDelaysMs: readonly number[],
    attempt: (count: number) => Promise<boolean>,
  ): Promise<boolean> {
    await this.#pause(delayMs);
    for (let count = 1; !this.#stopped; count += 1) {
      if (await attempt(count)) return true;
      const pauseMs = retryDelaysMs[count - 1];
      if (pauseMs === undefined) return false;
      await this.#pause(pauseMs);
    }
    return false;
  }

  #pause(delayMs: number): Promise<void> {
    if (delayMs <= 0 || this.#stopped) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        resolve();
      };
      this.#waiting.add(wake);
      this.#timers.after(delayMs, wake);
    });
  }
}
