import type { CommunicationEvent } from "#core/event/event.ts";
import type { JsonObject } from "#core/json.ts";

/** What conditions and templates can name: `event.type`, `payload.customer.name`. */
export interface Scope {
  readonly event: JsonObject;
  readonly payload: JsonObject;
}

/** The parts of an event that rules look at; a dry run has no more than these. */
export type Subject = Pick<
  CommunicationEvent,
  "type" | "payload" | "sourceSystem" | "externalId" | "provider" | "channelId" | "occurredAt" | "receivedAt"
>;

export function scopeOf(subject: Subject): Scope {
  return {
    event: {
      type: subject.type,
      source_system: subject.sourceSystem,
      external_id: subject.externalId,
      channel_id: subject.channelId ?? null,
      provider: subject.provider ?? null,
      occurred_at: isoTime(subject.occurredAt),
    },
    payload: subject.payload,
  };
}

/** A sender's clock may say what no calendar has. */
function isoTime(instant: number): string | null {
  const date = new Date(instant);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}
