interface Turn<T> {
  readonly running: Promise<T>;
  next: Promise<T> | undefined;
}

/**
 * Reads one thing for many who ask at once. Nobody gets an answer to a question that was put before theirs: who comes while a
 * read is under way shares the next one. So a rule that was changed before an event came is always seen by it.
 */
export class SharedReads<T> {
  readonly #read: (key: string) => Promise<T>;
  readonly #turns = new Map<string, Turn<T>>();

  constructor(read: (key: string) => Promise<T>) {
    this.#read = read;
  }

  get(key: string): Promise<T> {
    const turn = this.#turns.get(key);
    if (turn === undefined) return this.#begin(key);
    turn.next ??= turn.running.then(
      () => this.#begin(key),
      () => this.#begin(key),
    );
    return turn.next;
  }

  #begin(key: string): Promise<T> {
    const running = this.#read(key);
    const turn: Turn<T> = { running, next: undefined };
    this.#turns.set(key, turn);
    const end = () => {
      if (this.#turns.get(key) === turn && turn.next === undefined) this.#turns.delete(key);
    };
    running.then(end, end);
    return running;
  }
}
