import type { Call, Instant } from "#core/call/call.ts";
import type { CallEvent, CallExtra } from "#engine/ports.ts";
import { snakeCased } from "./json.ts";
import { DEFAULT_TENANT } from "./tenant.ts";

/**
 * A row of `whatsapp_calls` on its way into the database: column names, times as ISO text. What is undefined is not known
 * yet, or not known any more, and leaves what is stored as it is.
 */
export interface CallRow {
  readonly id: string;
  readonly wacid: string;
  readonly channel_id: string;
  readonly state: Call["state"];
  readonly received_at: string;
  readonly [column: string]: unknown;
}

/** A line of `whatsapp_call_events`. */
export interface EventRow {
  readonly call_id: string;
  readonly seq: number;
  readonly at: string;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

const iso = (at: Instant | undefined): string | undefined =>
  at === undefined ? undefined : new Date(at).toISOString();

/** Everything that a call value and its newest events tell about the call's row. */
export function rowOf(call: Call, events: readonly CallEvent[], extra: CallExtra = {}): CallRow {
  const { offer } = call;
  return {
    id: call.id,
    wacid: offer.wacid,
    tenant_id: DEFAULT_TENANT,
    channel_id: offer.channelId,
    direction: "user_initiated",
    state: call.state,
    tombstone: false,
    from_number: offer.caller.number,
    from_user_id: offer.caller.userId,
    username: offer.caller.username,
    profile_name: offer.caller.profileName,
    to_number: offer.calledNumber,
    cta_payload: offer.ctaPayload,
    deeplink_payload: offer.deeplinkPayload,
    ...routeColumns(call),
    ...endColumns(call),
    meta_timestamp: iso(offer.offeredAt),
    received_at: new Date(call.receivedAt).toISOString(),
    pre_accepted_at: iso(events.find((event) => event.type === "call.pre_accepted")?.at),
    answered_at: "answeredAt" in call ? iso(call.answeredAt) : undefined,
    evidence: Object.keys(call.evidence).length === 0 ? undefined : call.evidence,
    media_stats: extra.mediaStatistics === undefined ? undefined : snakeCased(extra.mediaStatistics),
    timings: extra.timings,
  };
}

function routeColumns(call: Call): Readonly<Record<string, unknown>> {
  if ("route" in call) return { handler: call.route.handler, trunk: call.route.trunk, target: call.route.target };
  return call.state === "ended" && call.disposition.result === "rejected" ? { handler: "reject" } : {};
}

function endColumns(call: Call): Readonly<Record<string, unknown>> {
  if (call.state !== "ended") return {};
  const { disposition, summary } = call;
  return {
    result: disposition.result,
    ended_by: disposition.by,
    cause: disposition.cause,
    sip_status: disposition.sipStatus,
    q850_cause: disposition.q850,
    graph_code: disposition.graphCode,
    detail: disposition.detail,
    ended_at: iso(call.endedAt),
    meta_status: summary?.status,
    meta_start_at: iso(summary?.startTime),
    meta_end_at: iso(summary?.endTime),
    meta_duration_s: summary?.durationS,
    meta_error_code: summary?.errorCode,
    meta_error_title: summary?.errorTitle,
  };
}

/** The row of a call whose end came before its offer. Times are those of the terminate. */
export function tombstoneRow(id: string, wacid: string, channelId: string, at: Instant): CallRow {
  const time = new Date(at).toISOString();
  return {
    id,
    wacid,
    tenant_id: DEFAULT_TENANT,
    channel_id: channelId,
    direction: "user_initiated",
    state: "ended",
    tombstone: true,
    result: "cancelled",
    ended_by: "caller",
    cause: "caller_gave_up",
    received_at: time,
    ended_at: time,
  };
}

/** Two rows of one call in the order they were told: what the newer one does not know, the older one keeps. */
export function mergeRows(older: CallRow, newer: CallRow): CallRow {
  const known = Object.entries(newer).filter(([, value]) => value !== undefined);
  return { ...older, ...Object.fromEntries(known) } as CallRow;
}
