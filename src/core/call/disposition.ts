/** How a call ended, in the words of call records. */
export type Result =
  | "completed"
  | "cancelled"
  | "busy"
  | "no_answer"
  | "declined"
  | "not_found"
  | "unreachable"
  | "rejected"
  | "expired"
  | "failed";

/** Who ended it. */
export type EndedBy = "caller" | "pbx" | "whatsapp" | "ponte" | "operator";

/**
 * Why and by whom a call ended. Every call has exactly one; `cause` is a stable word for machines, the numbers are those of
 * the side that spoke (RFC 3261 §21, ITU-T Q.850, Graph error code).
 */
export interface Disposition {
  readonly result: Result;
  readonly by: EndedBy;
  readonly cause: Cause;
  readonly sipStatus?: number;
  readonly q850?: number;
  readonly graphCode?: number;
  readonly detail?: string;
}

export type Cause =
  | "hangup"
  | "caller_gave_up"
  | "pbx_busy"
  | "pbx_no_answer"
  | "pbx_declined"
  | "pbx_not_found"
  | "pbx_unavailable"
  | "pbx_refused"
  | "pbx_unreachable"
  | "ring_timeout"
  | "answer_budget_exceeded"
  | "offer_stale"
  | "bad_offer"
  | "no_common_codec"
  | "ice_failed"
  | "dtls_failed"
  | "media_timeout"
  | "media_dead"
  | "graph_refused"
  | "graph_unreachable"
  | "meta_failed"
  | "calling_disabled"
  | "channel_unknown"
  | "handler_reject"
  | "at_capacity"
  | "draining"
  | "operator"
  | "database_unavailable"
  | "node_lost"
  | "internal_error";

interface SipRow {
  readonly result: Result;
  readonly cause: Cause;
  readonly q850: number;
}

/** SIP status → disposition and Q.850 cause (RFC 3398 §8.2.6.1), the exact rows first. */
const bySipStatus: Readonly<Record<number, SipRow>> = {
  401: { result: "failed", cause: "pbx_refused", q850: 21 },
  403: { result: "declined", cause: "pbx_refused", q850: 21 },
  404: { result: "not_found", cause: "pbx_not_found", q850: 1 },
  407: { result: "failed", cause: "pbx_refused", q850: 21 },
  408: { result: "unreachable", cause: "pbx_unreachable", q850: 102 },
  410: { result: "not_found", cause: "pbx_not_found", q850: 22 },
  480: { result: "no_answer", cause: "pbx_no_answer", q850: 18 },
  484: { result: "not_found", cause: "pbx_not_found", q850: 28 },
  486: { result: "busy", cause: "pbx_busy", q850: 17 },
  487: { result: "cancelled", cause: "pbx_declined", q850: 31 },
  488: { result: "failed", cause: "no_common_codec", q850: 88 },
  500: { result: "unreachable", cause: "pbx_unavailable", q850: 41 },
  502: { result: "unreachable", cause: "pbx_unavailable", q850: 38 },
  503: { result: "unreachable", cause: "pbx_unavailable", q850: 41 },
  504: { result: "unreachable", cause: "pbx_unreachable", q850: 102 },
  600: { result: "busy", cause: "pbx_busy", q850: 17 },
  603: { result: "declined", cause: "pbx_declined", q850: 21 },
  604: { result: "not_found", cause: "pbx_not_found", q850: 1 },
  606: { result: "failed", cause: "no_common_codec", q850: 88 },
};

/** For statuses without a row of their own: their class decides. */
function classRow(status: number): SipRow {
  if (status < 400) return { result: "failed", cause: "pbx_refused", q850: 127 };
  if (status < 500) return { result: "failed", cause: "pbx_refused", q850: 127 };
  if (status < 600) return { result: "unreachable", cause: "pbx_unavailable", q850: 41 };
  return { result: "declined", cause: "pbx_declined", q850: 21 };
}

/** The disposition for a final response that refuses our INVITE. A Q.850 cause in its Reason header wins (RFC 3326). */
export function fromSipStatus(status: number, q850?: number, detail?: string): Disposition {
  const row = bySipStatus[status] ?? classRow(status);
  return {
    result: row.result,
    by: "pbx",
    cause: row.cause,
    sipStatus: status,
    q850: q850 ?? row.q850,
    ...(detail === undefined ? {} : { detail }),
  };
}

/** Q.850 causes for the ends that ponte tells the PBX about in a Reason header (RFC 3326). */
export const q850OfResult: Readonly<Record<Result, number>> = {
  completed: 16,
  cancelled: 16,
  busy: 17,
  no_answer: 19,
  declined: 21,
  not_found: 1,
  unreachable: 27,
  rejected: 21,
  expired: 102,
  failed: 127,
};
