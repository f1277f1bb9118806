import { isIPv6 } from "node:net";
import { availableParallelism } from "node:os";
import { PonteError } from "#core/error.ts";
import type { WhatsAppOffer } from "#core/sdp/session.ts";
import type { Latching, Log, MediaEvents, MediaPort } from "#engine/ports.ts";
import { CallHandle } from "./call-handle.ts";
import type { WorkerCounters, WorkerSettings } from "./messages.ts";
import { PortPool } from "./port-pool.ts";
import { WorkerHandle } from "./worker-handle.ts";

/** A worker that died is replaced after this long: a fault that repeats at once must not keep a core busy. */
const RESTART_DELAY_MS = 500;
/** Ports of the range that somebody else has (another daemon with as many calls) are passed over, so many for one call. */
const MAX_PORT_ATTEMPTS = 100;
/** Passthrough calls that a core carries at full load. */
const DEFAULT_MAX_CALLS_PER_WORKER = 1_000;
const DEFAULT_DEAD_AFTER_MS = 30_000;

export interface MediaPlaneOptions {
  /** Worker threads; default one per core. */
  readonly workers?: number;
  readonly maxCallsPerWorker?: number;
  /** Public UDP port of the first worker, the others take the next ones; 0 takes free ones. */
  readonly publicPort: number;
  /** Ports for calls to a relay address that is in use on the public port already; without them the system chooses. */
  readonly sparePorts?: readonly number[];
  /** Local addresses of the public port, at most one of each family. */
  readonly publicBind: readonly string[];
  /** Addresses that WhatsApp shall send to; default: the bound ones. */
  readonly publicAddresses?: readonly string[];
  /** Local address for RTP with the PBX. */
  readonly sipBind: string;
  /**
   * What the PBX is told to send to; asked for each call, because a machine's addresses change. Never a wildcard: a PBX takes
   * that for hold, and sends nothing (RFC 3264 §8.4).
   */
  readonly sipAddress: () => string;
  /** RTP ports towards the PBX, both included; without it the system chooses. */
  readonly sipPorts?: { readonly first: number; readonly last: number };
  /** For calls whose `setSipSession` says nothing of it. */
  readonly latching?: Latching;
  /** A call from whose WhatsApp side nothing authentic came for so long is over. */
  readonly deadAfterMs?: number;
  readonly iceTimeoutMs?: number;
  readonly dtlsTimeoutMs?: number;
  /** Shorter ones are for tests. */
  readonly silenceChecksMs?: readonly number[];
  /** Another entry is for tests. */
  readonly workerEntry?: URL;
}

interface Seat {
  readonly settings: WorkerSettings;
  worker: WorkerHandle | undefined;
  restart: NodeJS.Timeout | undefined;
  readonly calls: Map<number, { readonly handle: CallHandle; readonly sipPort: number }>;
}

/**
 * The media of all calls, as the main thread sees it: a few worker threads, each with its public UDP port, among which calls
 * are spread. A call lives and dies with its worker; a worker that dies is replaced.
 */
export class MediaPlane implements MediaPort {
  readonly #options: MediaPlaneOptions;
  readonly #log: Log;
  readonly #seats: Seat[] = [];
  readonly #pool: PortPool | undefined;
  #lastCall = 0;
  #running = false;

  constructor(options: MediaPlaneOptions, log: Log) {
    this.#options = options;
    this.#log = log;
    const { sipPorts } = options;
    this.#pool = sipPorts && new PortPool(sipPorts.first, sipPorts.last, () => performance.now());
  }

  /** Starts the workers. Rejects with PonteError `media_unavailable` when a port is taken. */
  async start(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    const count = this.#options.workers || availableParallelism();
    for (let index = 0; index < count; index += 1) {
      const settings = workerSettings(this.#options, index, count);
      this.#seats.push({ settings, worker: undefined, restart: undefined, calls: new Map() });
    }
    try {
      await Promise.all(this.#seats.map((seat) => this.#startWorker(seat)));
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Closes all calls and ends the workers. May be called twice. */
  async stop(): Promise<void> {
    this.#running = false;
    const seats = this.#seats.splice(0);
    for (const seat of seats) clearTimeout(seat.restart);
    await Promise.all(seats.map((seat) => seat.worker?.stop()));
  }

  /** UDP ports that WhatsApp's packets come to, one of each worker that is up. */
  get publicPorts(): readonly number[] {
    return this.#seats.flatMap(({ worker }) => (worker?.isUp ? [worker.publicPort] : []));
  }

  /** Live calls. */
  get calls(): number {
    return this.#seats.reduce((sum, seat) => sum + seat.calls.size, 0);
  }

  /** Of every worker that answers, for metrics. */
  async counters(): Promise<readonly WorkerCounters[]> {
    const all = await Promise.all(this.#seats.map((seat) => seat.worker?.counters()));
    return all.filter((counters) => counters !== undefined);
  }

  async open(callId: string, offer: WhatsAppOffer, events: MediaEvents): Promise<CallHandle> {
    const seat = this.#leastLoaded();
    const worker = seat.worker;
    if (worker === undefined) throw unavailable();
    const call = ++this.#lastCall;
    worker.calls += 1;
    try {
      return await this.#openOn(seat, worker, call, offer, events);
    } catch (error) {
      worker.calls -= 1;
      this.#log.warn({ call_id: callId, error: String(error) }, "media call not opened");
      throw error;
    }
  }

  async #openOn(
    seat: Seat,
    worker: WorkerHandle,
    call: number,
    offer: WhatsAppOffer,
    events: MediaEvents,
  ): Promise<CallHandle> {
    const sipAddress = this.#options.sipAddress();
    for (let attempt = 0; attempt < MAX_PORT_ATTEMPTS; attempt += 1) {
      const wanted = this.#pool === undefined ? 0 : this.#pool.take();
      if (wanted === undefined) throw new PonteError("media_full", "no RTP port is free", { retryable: true });
      const opened = await worker.open({ call, sipPort: wanted, sipAddress, offer });
      if (opened?.type === "opened") {
        const { local, ssrc, sipPort } = opened;
        const release = (): void => this.#release(seat, worker, call);
        const handle = new CallHandle({
          worker,
          call,
          local,
          ssrc,
          sipAddress: { address: sipAddress, port: sipPort },
          events,
          release,
        });
        seat.calls.set(call, { handle, sipPort });
        return handle;
      }
      const giveBack = (): void => {
        if (wanted !== 0) this.#pool?.giveBack(wanted);
      };
      if (opened === undefined) {
        // The worker may open it after all: the port is free when that call is closed, too.
        void worker.close(call).then(giveBack);
        throw unavailable();
      }
      giveBack();
      if (!opened.portTaken) throw new PonteError("media_unavailable", opened.text, { retryable: true });
    }
    throw new PonteError("media_full", "the RTP ports are taken by somebody else", { retryable: true });
  }

  #release(seat: Seat, worker: WorkerHandle, call: number): void {
    const entry = seat.calls.get(call);
    if (entry === undefined) return;
    seat.calls.delete(call);
    worker.calls -= 1;
    this.#pool?.giveBack(entry.sipPort);
  }

  #leastLoaded(): Seat {
    const up = this.#seats.filter(({ worker }) => worker?.isUp === true);
    const least = up.toSorted((x, y) => (x.worker?.calls ?? 0) - (y.worker?.calls ?? 0))[0];
    if (least === undefined) throw unavailable();
    const limit = this.#options.maxCallsPerWorker ?? DEFAULT_MAX_CALLS_PER_WORKER;
    if ((least.worker?.calls ?? 0) >= limit) {
      throw new PonteError("media_full", `every media worker has ${limit} calls`, { retryable: true });
    }
    return least;
  }

  async #startWorker(seat: Seat): Promise<void> {
    const entry = this.#options.workerEntry ?? new URL("../worker/main.ts", import.meta.url);
    const worker = new WorkerHandle(entry, seat.settings, {
      onCallMessage: (message) => seat.calls.get(message.call)?.handle.take(message),
      onLost: (detail) => this.#onLost(seat, detail),
      onBug: (text) =>
        this.#log.error({ public_port: seat.settings.publicPort, detail: text }, "bug in a media worker"),
    });
    seat.worker = worker;
    await worker.started();
    this.#log.info({ public_port: worker.publicPort }, "media worker up");
  }

  #onLost(seat: Seat, detail: string): void {
    this.#log.error({ public_port: seat.worker?.publicPort, calls: seat.calls.size, detail }, "media worker lost");
    for (const [call, { handle, sipPort }] of [...seat.calls]) {
      seat.calls.delete(call);
      this.#pool?.giveBack(sipPort);
      handle.lose(detail);
    }
    this.#restartLater(seat);
  }

  #restartLater(seat: Seat): void {
    if (!this.#running) return;
    seat.restart = setTimeout(() => {
      this.#startWorker(seat).catch((error: unknown) => {
        this.#log.error({ error: String(error) }, "media worker not restarted");
        this.#restartLater(seat);
      });
    }, RESTART_DELAY_MS);
  }
}

function unavailable(): PonteError {
  return new PonteError("media_unavailable", "no media worker is up", { retryable: true });
}

function workerSettings(options: MediaPlaneOptions, index: number, count: number): WorkerSettings {
  const { publicPort, publicBind, publicAddresses = [], sipBind, latching, deadAfterMs } = options;
  const { iceTimeoutMs, dtlsTimeoutMs, silenceChecksMs } = options;
  const bind4 = publicBind.find((address) => !isIPv6(address));
  const bind6 = publicBind.find(isIPv6);
  return {
    publicPort: publicPort === 0 ? 0 : publicPort + index,
    sparePorts: (options.sparePorts ?? []).filter((_, place) => place % count === index),
    ...(bind4 === undefined ? {} : { bind4 }),
    ...(bind6 === undefined ? {} : { bind6 }),
    ...(publicAddresses.length === 0 ? {} : { announced: publicAddresses }),
    sipBind,
    latching: latching ?? "auto",
    deadAfterMs: deadAfterMs ?? DEFAULT_DEAD_AFTER_MS,
    ...(iceTimeoutMs === undefined ? {} : { iceTimeoutMs }),
    ...(dtlsTimeoutMs === undefined ? {} : { dtlsTimeoutMs }),
    ...(silenceChecksMs === undefined ? {} : { silenceChecksMs }),
  };
}
