import { setTimeout } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Worker } from "node:worker_threads";
import type { Daemon } from "#src/daemon.ts";

/** Bytes of a thread's heap, and of its buffers, which are outside of it. */
export interface HeldBytes {
  readonly main: number;
  /** Of each media worker. */
  readonly workers: readonly number[];
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Threads of this process, from when this file was loaded. */
const threads = new Set<Worker>();
process.on("worker", (thread: Worker) => {
  threads.add(thread);
  thread.once("exit", () => threads.delete(thread));
});

/** What this thread and the daemon's media workers hold when all garbage is gone. */
export async function heldBytes(daemon: Daemon): Promise<HeldBytes> {
  for (const thread of threads) await collectGarbageOf(thread);
  // What is weakly held, or waits for a socket to close, goes a moment after the first collection.
  for (let round = 0; round < 3; round += 1) {
    collectGarbage();
    await setTimeout(50);
  }
  const main = process.memoryUsage();
  const { workerMemory } = await daemon.observations();
  return { main: sizeOf(main), workers: workerMemory.map(sizeOf) };
}

function sizeOf({ heapUsed, arrayBuffers }: NodeJS.MemoryUsage): number {
  return heapUsed + arrayBuffers;
}

/** Nobody can call another thread's collector, but a snapshot of its heap begins with a collection. */
async function collectGarbageOf(thread: Worker): Promise<void> {
  const snapshot = await thread.getHeapSnapshot();
  for await (const _ of snapshot) {
    // Thrown away.
  }
}
