import { parentPort } from "node:worker_threads";
import type { ToWorker } from "#media/plane/messages.ts";

/** A media worker that collects garbage before it tells its memory (needs --expose-gc). */
parentPort?.on("message", (message: ToWorker) => {
  if (message.type === "counters") globalThis.gc?.();
});

await import("#media/worker/main.ts");
