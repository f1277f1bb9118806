import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";

/** A child process that answers one message at a time. */
export class Helper<M> {
  readonly #child: ChildProcess;
  #exited = false;

  constructor(file: URL, execArgv: readonly string[] = []) {
    this.#child = fork(file, { execArgv: [...execArgv], serialization: "advanced" });
    this.#child.once("exit", () => {
      this.#exited = true;
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  async ask<A>(message: M & object): Promise<A> {
    const answer = once(this.#child, "message");
    const gone = once(this.#child, "exit").then(([code]) => {
      throw new Error(`${this.#child.spawnfile} ended with ${code} instead of answering`);
    });
    gone.catch(() => undefined);
    this.#child.send(message);
    const [value] = await Promise.race([answer, gone]);
    return value as A;
  }

  async stop(): Promise<void> {
    if (this.#exited) return;
    const gone = once(this.#child, "exit");
    this.#child.disconnect();
    await gone;
  }
}

/** The other end: answers every message of the parent with what `answer` makes of it. */
export function serve<M>(answer: (message: M) => Promise<unknown>, stop: () => Promise<void>): void {
  process.on("message", (message: M) => {
    void answer(message).then((value) => process.send?.(value ?? "done"));
  });
  process.once("disconnect", () => void stop());
}
