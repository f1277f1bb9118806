import type { Instant } from "#core/call/call.ts";
import { uuidV7 } from "#core/id.ts";
import { eventId, type NewEvent, type TraceId } from "./event.ts";
import { traceId } from "./trace.ts";

/** What an edge reads out of a provider's webhook: an event without what only the process can give. */
export type EventDraft = Omit<NewEvent, "eventId" | "traceId" | "tenantId" | "receivedAt">;

/** What has to be known besides. */
export interface EventOrigin {
  readonly tenantId?: string;
  /** Of the sender's `traceparent`; absent: a new trace begins. */
  readonly traceId?: TraceId;
  readonly receivedAt: Instant;
}

/** @param random 32 random bytes. */
export function newEvent(draft: EventDraft, origin: EventOrigin, random: Uint8Array): NewEvent {
  return {
    ...draft,
    eventId: eventId(uuidV7(origin.receivedAt, random.subarray(0, 16))),
    traceId: origin.traceId ?? traceId(random.subarray(16, 32)),
    ...(origin.tenantId === undefined ? {} : { tenantId: origin.tenantId }),
    receivedAt: origin.receivedAt,
  };
}
