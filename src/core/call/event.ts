import type { Instant, MetaSummary, Route } from "./call.ts";
import type { Disposition } from "./disposition.ts";
import type { EvidenceStep } from "./evidence.ts";

/** What happens to a call. */
export type Event =
  | { readonly type: "routed"; readonly route: Route }
  /** Media is ready for this call, and this is our answer to Meta. */
  | { readonly type: "media_prepared"; readonly answer: string }
  | { readonly type: "offer_unusable"; readonly cause: "bad_offer" | "no_common_codec"; readonly detail: string }
  | { readonly type: "media_unavailable"; readonly detail: string }
  | { readonly type: "pre_accepted" }
  | { readonly type: "accepted" }
  | { readonly type: "graph_failed"; readonly step: "pre_accept" | "accept"; readonly refusal: GraphRefusal }
  | { readonly type: "leg_progress"; readonly status: number; readonly early: boolean }
  /** The PBX answered with a session that fits. */
  | { readonly type: "leg_answered" }
  /** The PBX answered, but its session cannot be used; the dialog stands. */
  | { readonly type: "session_unusable"; readonly detail: string }
  | { readonly type: "leg_failed"; readonly status: number; readonly reason: string; readonly q850?: number }
  | { readonly type: "leg_ended"; readonly by: "pbx" | "agent"; readonly q850?: number; readonly reason?: string }
  | { readonly type: "media_connected" }
  | { readonly type: "media_failed"; readonly failure: MediaFailureCause; readonly detail: string }
  | { readonly type: "evidence"; readonly step: EvidenceStep; readonly at: Instant }
  /** Meta's terminate webhook. */
  | { readonly type: "caller_ended"; readonly summary: MetaSummary }
  | { readonly type: "timeout"; readonly timer: Timer }
  | { readonly type: "operator_ended" }
  | { readonly type: "drained" }
  /** A bug showed itself in this call; it ends, the others talk on. */
  | { readonly type: "crashed"; readonly detail: string };

export interface GraphRefusal {
  /** 0 when no answer came. */
  readonly code: number;
  readonly message: string;
  /** The call is over at Meta, or never was. */
  readonly gone: boolean;
}

/** `media_closed`: the relay said goodbye (close_notify); most often the caller has hung up and the webhook is on its way. */
export type MediaFailureCause = "ice_failed" | "dtls_failed" | "media_dead" | "media_closed" | "worker_lost";

/**
 * `budget`: Meta's patience. `ring`: the PBX's. `media`: ICE and DTLS after the PBX's answer. `closing`: the terminate webhook
 * after the relay's goodbye.
 */
export type Timer = "budget" | "ring" | "media" | "closing";

/** What is to be done. What comes of it returns as an event. */
export type Action =
  | { readonly type: "prepare_media" }
  | { readonly type: "pre_accept"; readonly answer: string }
  | { readonly type: "connect_media" }
  | { readonly type: "dial"; readonly trunk: string; readonly target: string }
  | { readonly type: "accept"; readonly answer: string }
  | { readonly type: "start_sending" }
  /** Towards Meta: `reject` before any pre_accept, `terminate` after it. */
  | { readonly type: "reject" }
  | { readonly type: "terminate" }
  | { readonly type: "hang_up"; readonly disposition: Disposition }
  | { readonly type: "close_media" }
  | { readonly type: "start_timer"; readonly timer: Timer; readonly afterMs: number }
  | { readonly type: "stop_timer"; readonly timer: Timer }
  | { readonly type: "stop_timers" };
