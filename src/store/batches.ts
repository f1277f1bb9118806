import { PonteError } from "#core/error.ts";
import { within } from "./database.ts";
import { codeOf, mayPass, storeFailure } from "./failures.ts";

export interface BatchesOptions<T, R> {
  /** For error messages: what waits. */
  readonly name: string;
  /** Items in one statement. */
  readonly maxBatch: number;
  /** Items that may wait; beyond it `put` rejects with `store_overloaded`. */
  readonly maxQueued: number;
  /** Statements under way: while one waits for the disk the next is made. */
  readonly maxUnderWay: number;
  /** A statement that takes longer counts as failed, milliseconds. */
  readonly limitMs: number;
  /** Items of one key are written in the order in which they came: one whose key is under way waits. */
  readonly keyOf?: (item: T) => string;
  /** Writes a batch in one statement; one result for each item, in order. */
  readonly run: (items: readonly T[]) => Promise<readonly R[]>;
}

interface Waiting<T, R> {
  readonly item: T;
  readonly resolve: (result: R) => void;
  readonly reject: (error: PonteError) => void;
}

/** Deadlock, and a row that stayed locked: the statement was undone for another one, and is right again at once. */
const COLLISIONS = new Set(["40P01", "55P03", "40001"]);
const MAX_COLLISIONS = 20;

/** Runs a statement again when it collided with another one. */
export async function persistently<T>(statement: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await statement();
    } catch (error) {
      const cause = error instanceof PonteError ? error.cause : error;
      if (!COLLISIONS.has(codeOf(cause)) || attempt >= MAX_COLLISIONS) throw error;
    }
  }
}

/**
 * Many who write at once share one statement and one commit: what comes while a statement is under way goes with the next one.
 * Nobody waits for company: the first goes at the end of its turn of the event loop.
 */
export class Batches<T, R> {
  readonly #options: BatchesOptions<T, R>;
  #queue: Waiting<T, R>[] = [];
  /** Keys of what is under way. */
  readonly #busy = new Set<string>();
  #underWay = 0;
  #scheduled = false;

  constructor(options: BatchesOptions<T, R>) {
    this.#options = options;
  }

  /** What waits or is being written. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Resolves after commit. Rejects with PonteError `store_overloaded`, `store_unavailable`, `store_failed`. */
  put(item: T): Promise<R> {
    const { name, maxQueued } = this.#options;
    if (this.#queue.length >= maxQueued) {
      const message = `too many ${name} wait for the database`;
      return Promise.reject(new PonteError("store_overloaded", message, { retryable: true }));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ item, resolve, reject });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#underWay >= this.#options.maxUnderWay || this.#queue.length === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      const batch = this.#take();
      if (batch.length === 0) return;
      const keys = this.#keysOf(batch);
      for (const key of keys) this.#busy.add(key);
      this.#underWay += 1;
      this.#run(batch).finally(() => {
        for (const key of keys) this.#busy.delete(key);
        this.#underWay -= 1;
        this.#schedule();
      });
      this.#schedule();
    });
  }

  /** The first items whose keys are free. */
  #take(): readonly Waiting<T, R>[] {
    const { maxBatch, keyOf } = this.#options;
    if (this.#busy.size === 0 || keyOf === undefined) return this.#queue.splice(0, maxBatch);
    const batch: Waiting<T, R>[] = [];
    const left: Waiting<T, R>[] = [];
    for (const one of this.#queue)
      (batch.length < maxBatch && !this.#busy.has(keyOf(one.item)) ? batch : left).push(one);
    this.#queue = left;
    return batch;
  }

  #keysOf(batch: readonly Waiting<T, R>[]): ReadonlySet<string> {
    const { keyOf } = this.#options;
    return new Set(keyOf === undefined ? [] : batch.map((one) => keyOf(one.item)));
  }

  /** Never rejects: every outcome is told to those who wait. */
  async #run(batch: readonly Waiting<T, R>[]): Promise<void> {
    const { run, limitMs, name } = this.#options;
    try {
      const results = await persistently(() => within(run(batch.map((one) => one.item)), limitMs));
      for (const [index, one] of batch.entries()) {
        const result = results[index];
        if (result === undefined) one.reject(new PonteError("store_failed", `the database lost one of the ${name}`));
        else one.resolve(result);
      }
    } catch (error) {
      // One that the database refuses does not take its neighbours with it.
      if (!mayPass(error) && batch.length > 1) await this.#runEach(batch);
      else for (const one of batch) one.reject(storeFailure(error));
    }
  }

  /** One statement for each, side by side for different keys and in order for one. */
  async #runEach(batch: readonly Waiting<T, R>[]): Promise<void> {
    const { keyOf } = this.#options;
    if (keyOf === undefined) {
      await Promise.all(batch.map((one) => this.#run([one])));
      return;
    }
    const ofKeys = Map.groupBy(batch, (one) => keyOf(one.item)).values();
    await Promise.all(
      [...ofKeys].map(async (ofKey) => {
        for (const one of ofKey) await this.#run([one]);
      }),
    );
  }
}
