import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock, Log } from "#engine/ports.ts";
import { mayPass } from "./failures.ts";

/** Between two attempts while the database is away: doubling from the first to the second. */
const RETRY_MS = 100;
const RETRY_LIMIT_MS = 2_000;

export interface WriteBehindOptions<T> {
  /** For the log. */
  readonly name: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Items for one statement. */
  readonly maxBatch: number;
  /** Items that may wait while the database is away; further ones are dropped and counted. */
  readonly maxPending: number;
  /** Two items under one key, in order. */
  readonly merge: (older: T, newer: T) => T;
  /** Writes a batch in one transaction. May be called again with the same items after a failure. */
  readonly write: (items: readonly T[]) => Promise<void>;
}

/** Somebody waits until what was put under these keys is written: twice where a newer item waits behind one under way. */
interface Barrier {
  readonly left: Map<string, number>;
  readonly passed: () => void;
}

/**
 * A bounded queue in front of the database: nobody waits for it, what gathers while one statement is under way goes with the
 * next, and a database that is away is tried again until it is back. One statement at a time, so that the order stays.
 */
export class WriteBehind<T> {
  readonly #options: WriteBehindOptions<T>;
  #pending = new Map<string, T>();
  #underWay = new Map<string, T>();
  readonly #barriers: Barrier[] = [];
  #running: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #dropped = 0;
  #closed = false;

  constructor(options: WriteBehindOptions<T>) {
    this.#options = options;
  }

  /** Items that are not in the database yet. */
  get pending(): number {
    return this.#pending.size + this.#underWay.size;
  }

  /** Items that were lost: the queue was full, or the database refused them. */
  get dropped(): number {
    return this.#dropped;
  }

  /** The newest item under a key that is not in the database yet. */
  waiting(key: string): T | undefined {
    return this.#pending.get(key) ?? this.#underWay.get(key);
  }

  put(key: string, item: T): void {
    const older = this.#pending.get(key);
    if (older === undefined && this.#pending.size >= this.#options.maxPending) {
      this.#drop(1, "the queue to the database is full");
      return;
    }
    this.#pending.set(key, older === undefined ? item : this.#options.merge(older, item));
    if (!this.#closed) this.#running ??= this.#run();
  }

  /** Resolves with true when everything was written, with false when `limitMs` passed before. */
  async flush(limitMs: number): Promise<boolean> {
    if (this.#running === undefined) return true;
    this.#wake?.();
    let cancel: (() => void) | undefined;
    const late = new Promise<boolean>((resolve) => {
      cancel = this.#options.clock.after(limitMs, () => resolve(false));
    });
    const done = this.#running.then(() => this.pending === 0);
    const flushed = await Promise.race([done, late]);
    cancel?.();
    return flushed;
  }

  /** Resolves when all that waits now is in the database, or was lost and said to be. What comes later is not waited for. */
  async written(): Promise<void> {
    if (this.pending === 0 || this.#running === undefined) return;
    const left = new Map<string, number>();
    for (const key of [...this.#underWay.keys(), ...this.#pending.keys()]) left.set(key, (left.get(key) ?? 0) + 1);
    await new Promise<void>((passed) => this.#barriers.push({ left, passed }));
  }

  /** Writes what it can in `limitMs` and gives up the rest. */
  async close(limitMs: number): Promise<void> {
    if (!(await this.flush(limitMs))) this.#drop(this.pending, "the database did not come back before the stop");
    this.#closed = true;
    this.#wake?.();
    await this.#running;
  }

  async #run(): Promise<void> {
    // What the same turn of the event loop brings goes with the first statement.
    await nextTurn();
    let waitMs = RETRY_MS;
    while (this.#pending.size > 0 && !this.#closed) {
      const passed = await this.#writeSome();
      waitMs = passed ? RETRY_MS : waitMs;
      if (!passed && !this.#closed) {
        await this.#pause(waitMs);
        waitMs = Math.min(waitMs * 2, RETRY_LIMIT_MS);
      }
    }
    this.#running = undefined;
    for (const { passed } of this.#barriers.splice(0)) passed();
  }

  /** Tells those who wait that so much is settled. */
  #settled(keys: readonly string[]): void {
    for (const barrier of this.#barriers.splice(0)) {
      for (const key of keys) {
        const count = (barrier.left.get(key) ?? 0) - 1;
        if (count > 0) barrier.left.set(key, count);
        else barrier.left.delete(key);
      }
      if (barrier.left.size === 0) barrier.passed();
      else this.#barriers.push(barrier);
    }
  }

  /** False when the database is away; the batch then waits in front again. */
  async #writeSome(): Promise<boolean> {
    const taken = [...this.#pending].slice(0, this.#options.maxBatch);
    for (const [key] of taken) this.#pending.delete(key);
    this.#underWay = new Map(taken);
    try {
      await this.#options.write(taken.map(([, item]) => item));
      this.#settled(taken.map(([key]) => key));
      return true;
    } catch (error) {
      if (mayPass(error)) return this.#giveBack(taken, error);
      return await this.#writeOneByOne(taken);
    } finally {
      this.#underWay = new Map();
    }
  }

  /** One item that the database refuses does not take its neighbours with it. */
  async #writeOneByOne(taken: readonly (readonly [string, T])[]): Promise<boolean> {
    for (const [index, [key, item]] of taken.entries()) {
      try {
        await this.#options.write([item]);
      } catch (error) {
        if (mayPass(error)) return this.#giveBack(taken.slice(index), error);
        this.#drop(1, "the database refused it", error);
      }
      this.#settled([key]);
    }
    return true;
  }

  #giveBack(taken: readonly (readonly [string, T])[], error: unknown): false {
    const newer = this.#pending;
    this.#pending = new Map(taken);
    for (const [key, item] of newer) {
      const older = this.#pending.get(key);
      // Two became one, which is written once.
      if (older !== undefined) for (const { left } of this.#barriers) if (left.has(key)) left.set(key, 1);
      this.#pending.set(key, older === undefined ? item : this.#options.merge(older, item));
    }
    const { log, name } = this.#options;
    log.warn({ queue: name, pending: this.#pending.size, err: error }, "the database is away; records wait");
    return false;
  }

  #drop(count: number, why: string, error?: unknown): void {
    this.#dropped += count;
    const { log, name } = this.#options;
    log.error({ queue: name, dropped: this.#dropped, why, err: error }, "a record was lost");
  }

  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = this.#options.clock.after(ms, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
    this.#wake = undefined;
  }
}
