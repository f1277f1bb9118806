import type { Clock } from "#engine/ports.ts";

/** Time between two slots. Shorter slots spread the work finer and cost more wake-ups. */
const SLOT_MS = 5;
/** Every task runs once in 20 ms. */
const SLOTS = 4;
/** A wheel that is so far behind skips rounds instead of running them all at once. */
const MAX_BEHIND_MS = 40;

type Task = (at: number) => void;

/**
 * Calls every task once in 20 ms on average, without drift: each slot is timed from the start of the wheel, not from the
 * slot before. (`setInterval` loses 1 to 5 %, which is seconds in a minute of audio.) It stands still while it is empty.
 */
export class Wheel {
  readonly #clock: Clock;
  readonly #slots: Set<Task>[] = Array.from({ length: SLOTS }, () => new Set());
  #base = 0;
  #turn = 0;
  #cancel: (() => void) | undefined;
  #tasks = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Returns what takes the task off again, which may be called twice. */
  add(task: Task): () => void {
    const slot = this.#slots.reduce((least, next) => (next.size < least.size ? next : least));
    slot.add(task);
    this.#tasks += 1;
    if (this.#tasks === 1) this.#start();
    return () => {
      if (!slot.delete(task)) return;
      this.#tasks -= 1;
      if (this.#tasks > 0) return;
      this.#cancel?.();
      this.#cancel = undefined;
    };
  }

  #start(): void {
    this.#base = this.#clock.now();
    this.#turn = 1;
    this.#wait();
  }

  #wait(): void {
    const due = this.#base + this.#turn * SLOT_MS - this.#clock.now();
    this.#cancel = this.#clock.after(Math.max(0, due), () => this.#run());
  }

  #run(): void {
    const now = this.#clock.now();
    const behind = now - (this.#base + this.#turn * SLOT_MS);
    if (behind > MAX_BEHIND_MS) this.#turn += Math.floor((behind - MAX_BEHIND_MS) / SLOT_MS);
    // A timer may fire a little early; what is due within half a slot is done now.
    while (this.#tasks > 0 && this.#base + this.#turn * SLOT_MS <= now + SLOT_MS / 2) {
      for (const task of this.#slots[this.#turn % SLOTS] ?? []) task(now);
      this.#turn += 1;
    }
    if (this.#tasks > 0) this.#wait();
  }
}
