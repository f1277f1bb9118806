import { createHash } from "node:crypto";
import type { Provider } from "#core/channel/channel.ts";
import {
  type CommunicationEvent,
  type EventId,
  type EventStatus,
  idempotencyKey,
  type NewEvent,
} from "#core/event/event.ts";
import type { JsonObject } from "#core/json.ts";
import { handler, laneKey, type RouteJob } from "#router/jobs.ts";
import { canonicalJson } from "./json.ts";
import { given } from "./reading.ts";

/** A row of `communication_events`. */
export interface EventRow {
  readonly event_id: EventId;
  readonly trace_id: string;
  readonly idempotency_key: string;
  readonly tenant_id: string | null;
  readonly source_system: string;
  readonly external_id: string;
  readonly event_type: string;
  readonly payload: JsonObject;
  readonly payload_version: number;
  readonly raw: JsonObject | null;
  readonly provider: Provider | null;
  readonly channel_id: string | null;
  readonly conversation_key: string;
  readonly status: EventStatus;
  readonly attempts: number;
  readonly last_error: string | null;
  readonly conflicts: number;
  readonly occurred_at: Date;
  readonly received_at: Date;
  readonly routed_at: Date | null;
  readonly settled_at: Date | null;
}

export function eventOf(row: EventRow): CommunicationEvent {
  return {
    eventId: row.event_id,
    traceId: row.trace_id,
    idempotencyKey: row.idempotency_key,
    ...given("tenantId", row.tenant_id),
    sourceSystem: row.source_system,
    externalId: row.external_id,
    type: row.event_type,
    payload: row.payload,
    payloadVersion: row.payload_version,
    ...given("raw", row.raw),
    ...given("provider", row.provider),
    ...given("channelId", row.channel_id),
    conversationKey: row.conversation_key,
    status: row.status,
    attempts: row.attempts,
    ...given("lastError", row.last_error),
    conflicts: row.conflicts,
    occurredAt: row.occurred_at.getTime(),
    receivedAt: row.received_at.getTime(),
    ...given("routedAt", row.routed_at?.getTime()),
    ...given("settledAt", row.settled_at?.getTime()),
  };
}

/** An event on its way in: a member of a jsonb array, together with its routing job. */
export function eventInput(event: NewEvent, digest: string, ord: number) {
  const job: RouteJob = { event_id: event.eventId, repeat: 0 };
  return {
    ord,
    event_id: event.eventId,
    trace_id: event.traceId,
    idempotency_key: idempotencyKey(event),
    tenant_id: event.tenantId ?? null,
    source_system: event.sourceSystem,
    external_id: event.externalId,
    event_type: event.type,
    event_payload: event.payload,
    payload_version: event.payloadVersion,
    raw: event.raw ?? null,
    digest,
    provider: event.provider ?? null,
    channel_id: event.channelId ?? null,
    conversation_key: event.conversationKey,
    occurred_at: new Date(event.occurredAt).toISOString(),
    received_at: new Date(event.receivedAt).toISOString(),
    // Without a tenant it is parked: nobody's rules apply.
    lane: event.tenantId === undefined ? null : laneKey("route", event.tenantId, event.conversationKey),
    pool: "route",
    target: event.tenantId ?? null,
    handler: handler.route,
    payload: job,
    delay_ms: 0,
  };
}

/** SHA-256 of the payload, hexadecimal; the order of its keys does not matter. */
export function digestOf(payload: JsonObject): string {
  return createHash("sha256").update(canonicalJson(payload)).digest("hex");
}
