import { parentPort, workerData } from "node:worker_threads";
import type { FromWorker, ToWorker, WorkerSettings } from "#media/plane/messages.ts";
import { MediaWorker } from "./media-worker.ts";

/** Entry of a media worker thread: joins a MediaWorker to the channel of its thread. */

const channel = parentPort;
if (channel === null) throw new Error("this file runs in a worker thread");

const settings: WorkerSettings = workerData;
const worker = new MediaWorker(settings, (message: FromWorker) => {
  channel.postMessage(message);
  // The last word: without a listener the thread has nothing left to wait for, and ends.
  if (message.type === "stopped" || message.type === "not_ready") channel.close();
});
channel.on("message", (message: ToWorker) => worker.take(message));
await worker.start();
