import type { Call } from "#core/call/call.ts";
import type { CallEvent, CallRecord, MediaStatistics } from "#engine/ports.ts";

/** Live values of the engine, in the words and units of the API. */

const iso = (at: number): string => new Date(at).toISOString();

/** What the engine knows of a call that is alive, under the names that call records have. */
export function liveFacts(call: Call): CallRecord {
  const { offer } = call;
  const { caller } = offer;
  return withoutAbsent({
    id: call.id,
    wacid: offer.wacid,
    channel_id: offer.channelId,
    direction: "user_initiated",
    state: call.state,
    from_number: caller.number,
    from_user_id: caller.userId,
    username: caller.username,
    profile_name: caller.profileName,
    to_number: offer.calledNumber,
    cta_payload: offer.ctaPayload,
    deeplink_payload: offer.deeplinkPayload,
    ...("route" in call
      ? { handler: call.route.handler, trunk: call.route.trunk, target: call.route.target }
      : undefined),
    meta_timestamp: iso(offer.offeredAt),
    received_at: iso(call.receivedAt),
    answered_at: "answeredAt" in call && call.answeredAt !== undefined ? iso(call.answeredAt) : undefined,
    evidence: call.evidence,
  });
}

function withoutAbsent(record: Record<string, unknown> & { readonly id: string }): CallRecord {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as CallRecord;
}

/** `packetsIn` becomes `packets_in`; absent figures are left out. */
export function statisticsView(statistics: MediaStatistics): object {
  return snakeCased(statistics) as object;
}

function snakeCased(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inner]) => inner !== undefined)
      .map(([key, inner]) => [key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), snakeCased(inner)]),
  );
}

export function eventView(event: CallEvent): { at: string; type: string; data: Record<string, unknown> } {
  return { at: iso(event.at), type: event.type, data: { ...event.data } };
}
