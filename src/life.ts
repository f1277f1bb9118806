import type { Log } from "#engine/ports.ts";

interface Part {
  readonly name: string;
  readonly stop: () => Promise<void> | void;
}

/** Parts that are started in order and stopped in reverse; each stops although another one failed to. */
export class Life {
  readonly #log: Log;
  readonly #parts: Part[] = [];

  constructor(log: Log) {
    this.#log = log;
  }

  /** Starts a part. When it fails, those before it are stopped, and the failure is passed on. */
  async begin<T>(name: string, start: () => Promise<T> | T, stop: (part: T) => Promise<void> | void): Promise<T> {
    try {
      const part = await start();
      this.#parts.push({ name, stop: () => stop(part) });
      return part;
    } catch (error) {
      await this.end();
      throw error;
    }
  }

  /** Stops what was started. May be called twice. */
  async end(): Promise<void> {
    for (let part = this.#parts.pop(); part !== undefined; part = this.#parts.pop()) {
      try {
        await part.stop();
      } catch (error) {
        this.#log.warn({ err: error, part: part.name }, "a part did not stop cleanly");
      }
    }
  }
}

/** For parts that are started by `start` and stopped by `stop`. */
export async function started<T extends { start(): unknown }>(part: T): Promise<T> {
  await part.start();
  return part;
}

export function stopped(part: { stop(): Promise<void> | void }): Promise<void> | void {
  return part.stop();
}
