import type { Instant } from "#core/call/call.ts";
import type { Clock } from "#engine/ports.ts";

/** `full`: the line had no place left; `late`: the deadline passed in the line. `leave` must follow `in`, and only `in`. */
export type Entry = "in" | "full" | "late";

/** Lets a number of tasks run at once; the others wait in line, and the line has an end. */
export class Gate {
  readonly #maxRunning: number;
  readonly #maxWaiting: number;
  readonly #clock: Clock;
  /** Who waits, in the order of coming. */
  readonly #waiting = new Set<() => void>();
  #running = 0;

  constructor(limits: { readonly maxRunning: number; readonly maxWaiting: number }, clock: Clock) {
    this.#maxRunning = limits.maxRunning;
    this.#maxWaiting = limits.maxWaiting;
    this.#clock = clock;
  }

  async enter(deadline: Instant): Promise<Entry> {
    if (this.#running < this.#maxRunning) {
      this.#running++;
      return "in";
    }
    if (this.#waiting.size >= this.#maxWaiting) return "full";
    return new Promise((resolve) => {
      const admit = () => {
        stopTimer();
        resolve("in");
      };
      const stopTimer = this.#clock.after(Math.max(deadline - this.#clock.now(), 0), () => {
        this.#waiting.delete(admit);
        resolve("late");
      });
      this.#waiting.add(admit);
    });
  }

  leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#running--;
      return;
    }
    // Whoever leaves hands over its place, so `#running` stays as it is.
    this.#waiting.delete(next);
    next();
  }
}
