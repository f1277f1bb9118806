import type { Clock } from "#engine/ports.ts";

/** A clock that stands still until a test moves it. */
export class FakeClock implements Clock {
  #now: number;
  #next = 1;
  readonly #timers = new Map<number, { readonly at: number; readonly task: () => void }>();

  constructor(now = 1_760_681_506_000) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  after(afterMs: number, task: () => void): () => void {
    const id = this.#next;
    this.#next += 1;
    this.#timers.set(id, { at: this.#now + afterMs, task });
    return () => this.#timers.delete(id);
  }

  /** How many timers wait. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Moves on, running what comes due in its order. */
  advance(ms: number): void {
    const until = this.#now + ms;
    for (let due = this.#due(until); due !== undefined; due = this.#due(until)) {
      this.#timers.delete(due.id);
      this.#now = Math.max(this.#now, due.at);
      due.task();
    }
    this.#now = until;
  }

  #due(until: number): { readonly id: number; readonly at: number; readonly task: () => void } | undefined {
    return [...this.#timers]
      .map(([id, timer]) => ({ id, ...timer }))
      .filter((timer) => timer.at <= until)
      .toSorted((x, y) => x.at - y.at || x.id - y.id)[0];
  }
}
