/** An entry: the facts, and Unix milliseconds. */
export type Timed<F> = F & { readonly at: number };

/** Some hundred calls, of 3 KB an entry where a body is in it; the oldest entries are forgotten. */
const MAX_ENTRIES = 5_000;

/** A record of everything that happened, for assertions and for pages. */
export class Journal<F extends { readonly kind: string }> {
  readonly #now: () => number;
  readonly #max: number;
  readonly #entries: Timed<F>[] = [];
  readonly #listeners = new Set<(entry: Timed<F>) => void>();

  constructor(now: () => number, max = MAX_ENTRIES) {
    this.#now = now;
    this.#max = max;
  }

  add(facts: F): void {
    const entry = { ...facts, at: this.#now() };
    if (this.#entries.length >= this.#max) this.#entries.splice(0, Math.ceil(this.#max / 10));
    this.#entries.push(entry);
    for (const listener of this.#listeners) listener(entry);
  }

  entries(): readonly Timed<F>[] {
    return this.#entries;
  }

  of<K extends F["kind"]>(kind: K): Timed<Extract<F, { readonly kind: K }>>[] {
    return this.#entries.filter((entry) => entry.kind === kind) as Timed<Extract<F, { readonly kind: K }>>[];
  }

  /** Calls the listener for every new entry; returns what ends that. */
  watch(listener: (entry: Timed<F>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  clear(): void {
    this.#entries.length = 0;
  }
}
