import type { Side } from "#core/call/call.ts";
import type { SipMedia } from "#core/sdp/session.ts";
import type { LocalTransport } from "#core/sdp/transport.ts";
import type { Latching, LegStatistics, MediaCallPort, MediaEvents, MediaStatistics } from "#engine/ports.ts";
import type { FromWorker } from "./messages.ts";
import type { WorkerHandle } from "./worker-handle.ts";

const NO_LEG: LegStatistics = {
  packetsIn: 0,
  packetsOut: 0,
  bytesIn: 0,
  bytesOut: 0,
  lost: 0,
  lossRatio: 0,
  jitterMs: 0,
  longestGapMs: 0,
  digitsIn: 0,
  digitsOut: 0,
  refused: {},
};

/** Of a call whose worker took its figures along. */
export const NO_STATISTICS: MediaStatistics = {
  a: NO_LEG,
  b: NO_LEG,
  transcoding: false,
  fecFrames: 0,
  concealedFrames: 0,
};

export interface CallHandleParts {
  readonly worker: WorkerHandle;
  readonly call: number;
  readonly local: LocalTransport;
  readonly ssrc: number;
  readonly sipAddress: { readonly address: string; readonly port: number };
  readonly events: MediaEvents;
  /** Called once, when the worker has closed the call. */
  readonly release: () => void;
}

/** One call, as the main thread sees it. */
export class CallHandle implements MediaCallPort {
  readonly local: LocalTransport;
  readonly ssrc: number;
  readonly sipAddress: { readonly address: string; readonly port: number };
  readonly #worker: WorkerHandle;
  readonly #call: number;
  readonly #events: MediaEvents;
  readonly #release: () => void;
  #over = false;
  #last: MediaStatistics = NO_STATISTICS;
  #closed: Promise<MediaStatistics> | undefined;

  constructor(parts: CallHandleParts) {
    this.#worker = parts.worker;
    this.#call = parts.call;
    this.#events = parts.events;
    this.#release = parts.release;
    this.local = parts.local;
    this.ssrc = parts.ssrc;
    this.sipAddress = parts.sipAddress;
  }

  connect(): void {
    if (!this.#over) this.#worker.post({ type: "connect", call: this.#call });
  }

  setSipSession(session: SipMedia, latching?: Latching): void {
    if (this.#over) return;
    const more = latching === undefined ? {} : { latching };
    this.#worker.post({ type: "set_sip_session", call: this.#call, session, ...more });
  }

  startSending(): void {
    if (!this.#over) this.#worker.post({ type: "start_sending", call: this.#call });
  }

  /** Sends a digit of our own to one side as telephone-event, where that side takes them. */
  sendDigit(side: Side, digit: string, durationMs: number): void {
    if (!this.#over) this.#worker.post({ type: "press", call: this.#call, side, digit, durationMs });
  }

  async statistics(): Promise<MediaStatistics> {
    if (this.#over) return this.#last;
    this.#last = (await this.#worker.statistics(this.#call)) ?? this.#last;
    return this.#last;
  }

  close(): Promise<MediaStatistics> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<MediaStatistics> {
    if (!this.#over) {
      this.#over = true;
      this.#last = (await this.#worker.close(this.#call)) ?? this.#last;
      this.#release();
    }
    return this.#last;
  }

  /** A message of the worker about this call. */
  take(message: Extract<FromWorker, { readonly call: number }>): void {
    if (this.#over) return;
    const events = this.#events;
    switch (message.type) {
      case "connected":
        events.onConnected();
        return;
      case "failed":
        events.onFailed(message.failure, message.detail);
        return;
      case "evidence":
        events.onEvidence(message.step, message.at);
        return;
      case "silence_check":
        events.onSilenceCheck(message.afterMs, message.findings);
        return;
      case "digit":
        events.onDigit(message.side, message.digit, message.durationMs);
        return;
      default:
        return;
    }
  }

  /** The worker is gone, and the call with it. */
  lose(detail: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#events.onFailed("worker_lost", detail);
  }
}
