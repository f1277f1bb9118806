import type { Call, Instant, MetaSummary, Offer, Side } from "#core/call/call.ts";
import type { Disposition } from "#core/call/disposition.ts";
import type { EvidenceStep, SilenceFindings } from "#core/call/evidence.ts";
import type { CodecName, SipMedia, WhatsAppOffer } from "#core/sdp/session.ts";
import type { LocalTransport } from "#core/sdp/transport.ts";

/** What the engine needs of the world. Each port has a real implementation in its edge and a fake in `test/support/`. */

/** Time, so that tests can move it. */
export interface Clock {
  now(): Instant;
  /** Runs `task` once, after `afterMs` milliseconds; returns what cancels it. */
  after(afterMs: number, task: () => void): () => void;
}

/** The part of a pino logger that ponte uses. */
export interface Log {
  trace(facts: object, message: string): void;
  debug(facts: object, message: string): void;
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
  child(facts: object): Log;
}

// ── WhatsApp ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A refusal by Meta's Graph API, or its silence, as a value. */
export interface GraphFailure {
  /** Meta's error code; 0 when no answer came. */
  readonly code: number;
  readonly subcode?: number;
  /** HTTP status; 0 when no answer came. */
  readonly httpStatus: number;
  readonly message: string;
  readonly details?: string;
  readonly fbtraceId?: string;
  /** The same request may succeed later. */
  readonly retryable: boolean;
  /** Meta says that the call is already over, or never was. */
  readonly gone: boolean;
  /** What a person should do about it. */
  readonly hint: string;
}

export type GraphOutcome =
  | { readonly ok: true; readonly tookMs: number; readonly attempts: number }
  | { readonly ok: false; readonly failure: GraphFailure; readonly attempts: number };

/** Call control at Meta, for one user-initiated call at a time. Never throws; retries inside, until `deadline`. */
export interface WhatsAppPort {
  preAccept(channelId: string, wacid: string, answer: string, deadline: Instant): Promise<GraphOutcome>;
  accept(channelId: string, wacid: string, answer: string, deadline: Instant): Promise<GraphOutcome>;
  reject(channelId: string, wacid: string): Promise<GraphOutcome>;
  terminate(channelId: string, wacid: string): Promise<GraphOutcome>;
}

// ── SIP ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A call to place on a trunk. */
export interface DialRequest {
  readonly callId: string;
  /** Name of the trunk in the configuration. */
  readonly trunk: string;
  /** User part of the request-URI. */
  readonly target: string;
  /** Our SDP offer. */
  readonly sdp: string;
  /** `X-Ponte-Call` and the like. Values are free of CR and LF. */
  readonly headers: Readonly<Record<string, string>>;
  /** Digits, when the caller shows a number. */
  readonly callerNumber?: string;
  readonly callerName?: string;
}

/** What comes back of a call that was placed. Called from the edge, in order; exactly one of `onFailed` and `onEnded` last. */
export interface SipLegEvents {
  /** A provisional response above 100. */
  onProgress(status: number, hasSdp: boolean): void;
  /** The PBX answered; ACK is out. `sdp` is its answer. */
  onAnswered(answered: { readonly sdp: string; readonly sipCallId: string }): void;
  /** No dialog came about. `status` is 503 or 408 also where no response came at all. */
  onFailed(failure: { readonly status: number; readonly reason: string; readonly q850?: number }): void;
  /** The PBX ended the dialog, or the agent did for want of an ACK or a session refresh. */
  onEnded(end: { readonly by: "pbx" | "agent"; readonly q850?: number; readonly reason?: string }): void;
  /** A re-INVITE or UPDATE with an offer. Resolves with our answer, or undefined to refuse it with 488. */
  onReoffer(sdp: string): Promise<string | undefined>;
  /** A re-INVITE without SDP: our offer, and then the PBX's answer in its ACK. */
  onReofferWanted(): Promise<string>;
  onReofferAnswered(sdp: string): void;
  /** A digit by SIP INFO (`application/dtmf-relay`). */
  onDigit(digit: string, durationMs: number): void;
}

/** Our leg `b`, from INVITE to the last response. */
export interface SipLegPort {
  /** CANCEL before the answer, BYE after it, with a Reason header (RFC 3326). May be called at any time, more than once. */
  hangUp(disposition: Disposition): Promise<void>;
}

export interface SipPort {
  /** Places a call. Never throws: what comes of it comes as events, never before `dial` has returned. */
  dial(request: DialRequest, events: SipLegEvents): SipLegPort;
  /** False while the SIP engine is not reachable; calls are then rejected with a reason. */
  ready(): boolean;
}

// ── Media ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface LegStatistics {
  readonly codec?: CodecName;
  readonly packetsIn: number;
  readonly packetsOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Packets that never came, by sequence numbers (RFC 3550 §A.3). */
  readonly lost: number;
  readonly lossRatio: number;
  /** Interarrival jitter (RFC 3550 §6.4.1), milliseconds. */
  readonly jitterMs: number;
  /** Longest time between two packets, milliseconds. */
  readonly longestGapMs: number;
  /** From RTCP, milliseconds. */
  readonly roundTripMs?: number;
  /** E-model estimate (ITU-T G.107, simplified), 1 to 4.5. */
  readonly mos?: number;
  readonly digitsIn: number;
  readonly digitsOut: number;
  /** Packets that were refused, by reason. */
  readonly refused: Readonly<Record<string, number>>;
}

export interface MediaStatistics {
  readonly a: LegStatistics;
  readonly b: LegStatistics;
  readonly transcoding: boolean;
  /** Frames that were made up for lost ones: by in-band FEC, by concealment. */
  readonly fecFrames: number;
  readonly concealedFrames: number;
}

/** `media_closed`: the far end said goodbye (DTLS close_notify). */
export type MediaFailure = "ice_failed" | "dtls_failed" | "media_dead" | "media_closed" | "worker_lost";

/** Called on the main thread, in order. */
export interface MediaEvents {
  /** ICE and DTLS are up. */
  onConnected(): void;
  onFailed(failure: MediaFailure, detail: string): void;
  onEvidence(step: EvidenceStep, at: Instant): void;
  /** One of the checks of `silenceChecksMs` found at least one side silent, or, once, that both are heard. */
  onSilenceCheck(afterMs: number, findings: SilenceFindings): void;
  /** A digit was completed on one side (and was passed on to the other where that side can take it). */
  onDigit(side: Side, digit: string, durationMs: number): void;
}

/**
 * Whose RTP is taken on the PBX side. `strict`: only that of the announced address. `auto`: that of the first address that
 * sends the agreed format, for a PBX behind NAT.
 */
export type Latching = "strict" | "auto";

/** The media of one call. Methods of a closed or lost call do nothing. */
export interface MediaCallPort {
  /** What our answer to Meta has to say. */
  readonly local: LocalTransport;
  /** The one SSRC of the whole call towards WhatsApp. */
  readonly ssrc: number;
  /** Where the PBX shall send its RTP (RTCP at port + 1). */
  readonly sipAddress: { readonly address: string; readonly port: number };
  /** Starts ICE and DTLS towards the far end of the offer. Sends no RTP. */
  connect(): void;
  /** The PBX's session, at the answer and again at every re-INVITE, and whose packets may come in place of its own. */
  setSipSession(session: SipMedia, latching: Latching): void;
  /** Meta said 200 to accept: from now on our 20 ms Opus flows, ours first. */
  startSending(): void;
  /** Sends one digit by telephone-event to a side, for a PBX that tells its digits by SIP INFO. */
  sendDigit(side: Side, digit: string, durationMs: number): void;
  statistics(): Promise<MediaStatistics>;
  /** Forgets keys, ports and timers; returns the last figures. */
  close(): Promise<MediaStatistics>;
}

export interface MediaPort {
  /**
   * Makes room for a call on a worker. The offer is needed at once: a far end that another call is talking to gets another
   * local port (`OpenOptions.remote` of the secure transport), and our answer must announce it. Throws PonteError `media_full`
   * or `media_unavailable`.
   */
  open(callId: string, offer: WhatsAppOffer, events: MediaEvents): Promise<MediaCallPort>;
}

// ── Storage ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** One line of a call's timeline. */
export interface CallEvent {
  readonly at: Instant;
  /** `call.received`, `call.pre_accepted`, …, or a finer step such as `leg_answered`. */
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Times of one call in milliseconds since the offer was received; see `GET /v1/calls/:id`. */
export type CallTimings = Readonly<Record<string, number>>;

/**
 * Call records, written behind: nothing here waits for the database, and what was handed over is written in order per call,
 * as soon as it can be. An ended call never revives, in SQL.
 */
export interface CallJournalPort {
  /** A state change together with its events. */
  record(call: Call, events: readonly CallEvent[], extra?: CallExtra): void;
  /** A terminate for a call that was never offered here: it leaves a tombstone, so that a late offer is not answered. */
  tombstone(wacid: string, channelId: string, event: CallEvent): void;
}

export interface CallExtra {
  readonly mediaStatistics?: MediaStatistics;
  readonly timings?: CallTimings;
}

/** What is known of a call id from before, asked once for each offer. */
export type KnownCall = "new" | "duplicate" | "tombstone";

export interface CallMemoryPort {
  /**
   * Whether this offer is new, a duplicate or late. Asked of the database with a short limit of time; when it does not
   * answer, throws PonteError `store_unavailable`.
   */
  lookUp(wacid: string): Promise<KnownCall>;
}

/** A webhook body that was acknowledged and must not be lost. */
export interface InboxItem {
  readonly id: string;
  readonly source: "meta";
  readonly body: Buffer;
  readonly receivedAt: Instant;
}

export interface WebhookInboxPort {
  /** Resolves after commit. The same body again is a duplicate. Rejects with PonteError `store_unavailable` or `store_overloaded`. */
  accept(source: "meta", body: Buffer): Promise<{ readonly id: string; readonly duplicate: boolean }>;
  /** Those that were accepted but not worked off, oldest first; also of a process that died. */
  unprocessed(limit: number): Promise<readonly InboxItem[]>;
  done(id: string, error?: string): void;
}

// ── The engine, as edges see it ────────────────────────────────────────────────────────────────────────────────────────

/** What Meta's call webhooks come to, translated by the WhatsApp edge. */
export type MetaCallEvent =
  | { readonly type: "offer"; readonly offer: Offer }
  | {
      readonly type: "terminate";
      readonly wacid: string;
      readonly channelId: string;
      readonly at: Instant;
      readonly summary: MetaSummary;
    }
  /** Anything else: logged and counted, nothing more. */
  | { readonly type: "ignored"; readonly what: string; readonly wacid?: string };

export interface MetaEventsPort {
  /** Takes one event; resolves when it was handed to its call. */
  take(event: MetaCallEvent): Promise<void>;
}

/** What operators ask of the engine through the API. */
export interface SwitchboardPort {
  /** Ends a live call. False when no such call is alive here. */
  terminate(callId: string): boolean;
  /** Live calls, as they are now. */
  live(): readonly Call[];
  statistics(callId: string): Promise<MediaStatistics | undefined>;
  /** Subscribes to every timeline event; returns what unsubscribes. */
  watch(listener: (callId: string, event: CallEvent) => void): () => void;
}

// ── Reading, for the API ───────────────────────────────────────────────────────────────────────────────────────────────

/** One row of `whatsapp_calls` as the API shows it: snake_case, ISO times. */
export type CallRecord = Readonly<Record<string, unknown>> & { readonly id: string };

export interface CallQuery {
  readonly state?: string;
  readonly channelId?: string;
  readonly result?: string;
  /** Opaque, from the page before. */
  readonly cursor?: string;
  /** 1 to 200. */
  readonly limit: number;
}

export interface CallReaderPort {
  list(query: CallQuery): Promise<{ readonly calls: readonly CallRecord[]; readonly next?: string }>;
  get(id: string): Promise<{ readonly call: CallRecord; readonly events: readonly CallEvent[] } | undefined>;
  /** Round trip to the database; throws when it is away. */
  ping(): Promise<void>;
}

export interface ApiKeysPort {
  /** `tenantId`: whose key it is; absent where there is one tenant only. */
  verify(key: string): Promise<{ readonly id: string; readonly name: string; readonly tenantId?: string } | undefined>;
}
