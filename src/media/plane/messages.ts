import type { Instant, Side } from "#core/call/call.ts";
import type { EvidenceStep, SilenceFindings } from "#core/call/evidence.ts";
import type { SipMedia, WhatsAppOffer } from "#core/sdp/session.ts";
import type { LocalTransport } from "#core/sdp/transport.ts";
import type { Latching, MediaFailure, MediaStatistics } from "#engine/ports.ts";
import type { PublicPortCounters } from "#media/transport/contract.ts";

/**
 * What the main thread and a worker tell each other. Only what happens once or seldom in a call: packets stay in the worker.
 * `call` is a number that the main thread gives; `request` pairs an answer with its question.
 */

/** Everything a worker needs to know at its start (`workerData`). */
export interface WorkerSettings {
  readonly publicPort: number;
  readonly sparePorts: readonly number[];
  readonly bind4?: string;
  readonly bind6?: string;
  readonly announced?: readonly string[];
  readonly sipBind: string;
  readonly latching: Latching;
  readonly deadAfterMs: number;
  readonly iceTimeoutMs?: number;
  readonly dtlsTimeoutMs?: number;
  readonly silenceChecksMs?: readonly number[];
}

/** What a worker needs to know to open a call. */
export interface CallSettings {
  readonly call: number;
  /** 0 lets the system choose. */
  readonly sipPort: number;
  /** What the PBX is told to send to. */
  readonly sipAddress: string;
  readonly offer: WhatsAppOffer;
}

export type ToWorker =
  | ({ readonly type: "open" } & CallSettings)
  | { readonly type: "connect"; readonly call: number }
  | {
      readonly type: "set_sip_session";
      readonly call: number;
      readonly session: SipMedia;
      readonly latching?: Latching;
    }
  | { readonly type: "start_sending"; readonly call: number }
  | {
      readonly type: "press";
      readonly call: number;
      readonly side: Side;
      readonly digit: string;
      readonly durationMs: number;
    }
  | { readonly type: "statistics"; readonly call: number; readonly request: number }
  | { readonly type: "close"; readonly call: number }
  | { readonly type: "counters"; readonly request: number }
  | { readonly type: "stop" };

export type FromWorker =
  | { readonly type: "ready"; readonly publicPort: number }
  | { readonly type: "not_ready"; readonly text: string }
  | {
      readonly type: "opened";
      readonly call: number;
      readonly local: LocalTransport;
      readonly ssrc: number;
      readonly sipPort: number;
    }
  /** `portTaken`: another port may do. */
  | { readonly type: "not_opened"; readonly call: number; readonly portTaken: boolean; readonly text: string }
  | { readonly type: "connected"; readonly call: number }
  | { readonly type: "failed"; readonly call: number; readonly failure: MediaFailure; readonly detail: string }
  | { readonly type: "evidence"; readonly call: number; readonly step: EvidenceStep; readonly at: Instant }
  | {
      readonly type: "silence_check";
      readonly call: number;
      readonly afterMs: number;
      readonly findings: SilenceFindings;
    }
  | {
      readonly type: "digit";
      readonly call: number;
      readonly side: Side;
      readonly digit: string;
      readonly durationMs: number;
    }
  | { readonly type: "statistics"; readonly request: number; readonly statistics: MediaStatistics | undefined }
  | { readonly type: "closed"; readonly call: number; readonly statistics: MediaStatistics }
  | { readonly type: "counters"; readonly request: number; readonly counters: WorkerCounters }
  /** An exception of ours. The call that it belongs to, if any, is told by `failed`. */
  | { readonly type: "bug"; readonly text: string }
  | { readonly type: "stopped" };

/** Of one worker, for metrics. */
export interface WorkerCounters {
  readonly calls: number;
  /** Share of time that its event loop was busy in the last period, 0 to 1. */
  readonly utilization: number;
  readonly complexity: number;
  /** Of the thread's own heap; `rss` is that of the whole process. */
  readonly memory: NodeJS.MemoryUsage;
  readonly publicPort: PublicPortCounters;
}
