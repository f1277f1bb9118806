import type { Log } from "#engine/ports.ts";
import type { LiveChange } from "./services.ts";

/** Each watcher is a page or an API client; more than this is a client that forgets to leave. */
const MAX_WATCHERS = 500;

/** Tells who watches what changed on this node. */
export class LiveChanges {
  readonly #log: Log;
  readonly #watchers = new Set<(change: LiveChange) => void>();

  constructor(log: Log) {
    this.#log = log;
  }

  watch(listener: (change: LiveChange) => void): () => void {
    if (this.#watchers.size >= MAX_WATCHERS) {
      this.#log.warn({ watchers: this.#watchers.size }, "too many watch live changes");
      return () => undefined;
    }
    this.#watchers.add(listener);
    return () => this.#watchers.delete(listener);
  }

  /** Never throws: a page that fails stops no message. */
  tell(change: LiveChange): void {
    for (const watcher of this.#watchers) {
      try {
        watcher(change);
      } catch (error) {
        this.#log.warn({ err: error }, "a watcher of live changes failed");
      }
    }
  }
}
