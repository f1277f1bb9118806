import { parentPort } from "node:worker_threads";
import type { ToWorker } from "#media/plane/messages.ts";
import "#media/worker/main.ts";

/** A media worker that dies of one certain digit. */
parentPort?.on("message", (message: ToWorker) => {
  if (message.type === "press" && message.durationMs === 666) throw new Error("a bug that nobody knows yet");
});
