import { Worker } from "node:worker_threads";
import { PonteError } from "#core/error.ts";
import type { MediaStatistics } from "#engine/ports.ts";
import type { CallSettings, FromWorker, ToWorker, WorkerCounters, WorkerSettings } from "./messages.ts";

/** A worker compiles its WebAssembly and binds a port, which takes 0.2 s on a quiet machine. */
const START_TIMEOUT_MS = 20_000;
/** A worker answers within a few milliseconds; one that does not is stuck. */
const ANSWER_TIMEOUT_MS = 5_000;
const STOP_TIMEOUT_MS = 5_000;

/**
 * Small, so that a garbage collection is short: what lives per packet dies at once. (Measured with 4 MB and with the default
 * of 16: the 99th percentile of delay is twice as good.)
 */
const MAX_YOUNG_GENERATION_MB = 4;

export type Opened = Extract<FromWorker, { type: "opened" } | { type: "not_opened" }>;

export interface WorkerEvents {
  /** A message about one call, apart from answers. */
  onCallMessage(message: Extract<FromWorker, { readonly call: number }>): void;
  /** An exception while a packet or a timer was handled; the call that it belongs to fails. */
  onBug(text: string): void;
  /** The thread ended though nobody asked it to. */
  onLost(detail: string): void;
}

/** One worker thread, as the main thread sees it. Made for one start: a lost worker is replaced by a new handle. */
export class WorkerHandle {
  /** Calls that were placed on this worker, opening ones included. */
  calls = 0;
  publicPort = 0;
  readonly #worker: Worker;
  readonly #events: WorkerEvents;
  readonly #answers = new Map<string, (message: FromWorker | undefined) => void>();
  readonly #exited: Promise<void>;
  #lastRequest = 0;
  #fault: string | undefined;
  #state: "starting" | "up" | "stopping" | "gone" = "starting";

  constructor(entry: URL, settings: WorkerSettings, events: WorkerEvents) {
    this.#events = events;
    this.#worker = new Worker(entry, {
      workerData: settings,
      name: "media",
      resourceLimits: { maxYoungGenerationSizeMb: MAX_YOUNG_GENERATION_MB },
    });
    this.#worker.on("message", (message: FromWorker) => this.#take(message));
    this.#worker.on("error", (error: unknown) => {
      this.#fault = error instanceof Error ? (error.stack ?? error.message) : String(error);
    });
    this.#exited = new Promise((resolve) => {
      this.#worker.once("exit", (code) => {
        this.#onExit(code);
        resolve();
      });
    });
  }

  get isUp(): boolean {
    return this.#state === "up";
  }

  /** Resolves when the worker takes calls. Rejects with PonteError `media_unavailable`. */
  async started(): Promise<void> {
    const ready = await this.#answer("ready", START_TIMEOUT_MS);
    if (ready?.type === "ready" && this.#state === "starting") {
      this.publicPort = ready.publicPort;
      this.#state = "up";
      return;
    }
    const text = ready?.type === "not_ready" ? ready.text : (this.#fault ?? "it does not answer");
    await this.stop();
    throw new PonteError("media_unavailable", `a media worker did not start: ${text}`, { retryable: true });
  }

  post(message: ToWorker): void {
    if (this.#state !== "gone") this.#worker.postMessage(message);
  }

  /** undefined when the worker does not answer. */
  async open(settings: CallSettings): Promise<Opened | undefined> {
    this.post({ type: "open", ...settings });
    const answer = await this.#answer(`open ${settings.call}`, ANSWER_TIMEOUT_MS);
    return answer?.type === "opened" || answer?.type === "not_opened" ? answer : undefined;
  }

  async statistics(call: number): Promise<MediaStatistics | undefined> {
    const request = ++this.#lastRequest;
    this.post({ type: "statistics", call, request });
    const answer = await this.#answer(`request ${request}`, ANSWER_TIMEOUT_MS);
    return answer?.type === "statistics" ? answer.statistics : undefined;
  }

  async counters(): Promise<WorkerCounters | undefined> {
    const request = ++this.#lastRequest;
    this.post({ type: "counters", request });
    const answer = await this.#answer(`request ${request}`, ANSWER_TIMEOUT_MS);
    return answer?.type === "counters" ? answer.counters : undefined;
  }

  async close(call: number): Promise<MediaStatistics | undefined> {
    this.post({ type: "close", call });
    const answer = await this.#answer(`close ${call}`, ANSWER_TIMEOUT_MS);
    return answer?.type === "closed" ? answer.statistics : undefined;
  }

  /** Lets the worker close its calls, and ends it. May be called twice. */
  async stop(): Promise<void> {
    if (this.#state === "gone") return;
    this.post({ type: "stop" });
    this.#state = "stopping";
    const timer = setTimeout(() => void this.#worker.terminate(), STOP_TIMEOUT_MS);
    await this.#exited;
    clearTimeout(timer);
  }

  /** One message with this key, or undefined after a while or when the worker ends. */
  #answer(key: string, timeoutMs: number): Promise<FromWorker | undefined> {
    if (this.#state === "gone") return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const settle = (message: FromWorker | undefined): void => {
        clearTimeout(timer);
        this.#answers.delete(key);
        resolve(message);
      };
      const timer = setTimeout(() => settle(undefined), timeoutMs);
      this.#answers.set(key, settle);
    });
  }

  #take(message: FromWorker): void {
    const key = answerKey(message);
    if (key !== undefined) this.#answers.get(key)?.(message);
    else if ("call" in message) this.#events.onCallMessage(message);
    else if (message.type === "bug") this.#events.onBug(message.text);
  }

  #onExit(code: number): void {
    const asked = this.#state === "stopping";
    const started = this.#state === "up";
    this.#state = "gone";
    for (const settle of [...this.#answers.values()]) settle(undefined);
    if (!asked && started) this.#events.onLost(this.#fault ?? `the thread ended with code ${code}`);
  }
}

/** What a message answers; undefined for news. */
function answerKey(message: FromWorker): string | undefined {
  switch (message.type) {
    case "ready":
    case "not_ready":
      return "ready";
    case "opened":
    case "not_opened":
      return `open ${message.call}`;
    case "closed":
      return `close ${message.call}`;
    case "statistics":
    case "counters":
      return `request ${message.request}`;
    default:
      return undefined;
  }
}
