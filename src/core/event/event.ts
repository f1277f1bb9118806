import type { Instant } from "#core/call/call.ts";
import type { Provider } from "#core/channel/channel.ts";
import type { JsonObject } from "#core/json.ts";

/** `evt_` and a UUID of version 7 in its usual form; the same text in the database, the log, the API and outgoing webhooks. */
export type EventId = `evt_${string}`;

/** A W3C trace id: 32 hexadecimal digits in lower case, not all zero. */
export type TraceId = string;

/**
 * Something that happened and was told to ponte, on its way in. Everything that decides whether it is new is here; the store
 * adds its status.
 */
export interface NewEvent {
  readonly eventId: EventId;
  readonly traceId: TraceId;
  /** Undefined: it came over a channel that nobody has claimed. It is parked, and taken up when somebody does. */
  readonly tenantId?: string;
  /** Who told it: `wpp_gateway`, `cloud_api`, `ponte`, or the name of an internal system (`[a-z0-9_-]{1,64}`). */
  readonly sourceSystem: string;
  /** The sender's id of what happened, 1 to 512 characters; derived from native ids where the sender gives none. */
  readonly externalId: string;
  /** `whatsapp.inbound.message`: words of `[a-z0-9_]`, joined by dots, at most 128 characters. */
  readonly type: string;
  /** Normalised: the same shape whoever told it; see payloads.ts for the types that ponte knows. */
  readonly payload: JsonObject;
  readonly payloadVersion: number;
  /** As it came, for people and for a later reading. */
  readonly raw?: JsonObject;
  readonly provider?: Provider;
  /** The provider's id of the channel. */
  readonly channelId?: string;
  /**
   * What has to stay in order: events of a tenant with the same key are worked off one after the other. For messages, acks and
   * calls `conversationKey()`; otherwise what the sender says, or the event's own id.
   */
  readonly conversationKey: string;
  /** When it happened, by the sender's clock. */
  readonly occurredAt: Instant;
  readonly receivedAt: Instant;
}

/**
 * `received`: committed, waits for the rules. `routed`: rules were applied, effects are under way. `processed`: all effects are
 * done. `failed`: an attempt failed and another one follows. `dead`: given up, waits for a person or a replay. `ignored`: no rule
 * wanted it.
 */
export type EventStatus = "received" | "routed" | "processed" | "failed" | "dead" | "ignored";

/** An event as it is stored and shown. */
export interface CommunicationEvent extends NewEvent {
  readonly idempotencyKey: string;
  readonly status: EventStatus;
  /** Attempts of routing it. */
  readonly attempts: number;
  readonly lastError?: string;
  /** Times that the same key came with another body; those bodies are kept. */
  readonly conflicts: number;
  readonly routedAt?: Instant;
  readonly settledAt?: Instant;
}

/** The types that ponte itself makes. Others (`billing.*`, `asaas.payment.*`) are the senders' own. */
export const eventType = {
  inboundMessage: "whatsapp.inbound.message",
  /** What the business wrote on its phone, or a gateway's echo of what ponte sent: what answers messages must not see it. */
  outboundMessage: "whatsapp.outbound.message",
  deliveryAck: "whatsapp.delivery.ack",
  connectionUpdate: "whatsapp.connection.update",
} as const;

/** Of a message, whoever of the two wrote it. */
export function isMessage(type: string): boolean {
  return type === eventType.inboundMessage || type === eventType.outboundMessage;
}

const TYPE = /^[a-z0-9_]+(\.[a-z0-9_]+)*$/;
const SOURCE = /^[a-z0-9_-]{1,64}$/;
const MAX_TYPE_LENGTH = 128;
export const MAX_EXTERNAL_ID_LENGTH = 512;

export function isEventType(text: string): boolean {
  return text.length <= MAX_TYPE_LENGTH && TYPE.test(text);
}

export function isSourceSystem(text: string): boolean {
  return SOURCE.test(text);
}

/** Neither the source nor the type can hold a colon, so that no two triples have one key. Unique within a tenant. */
export function idempotencyKey(event: Pick<NewEvent, "sourceSystem" | "externalId" | "type">): string {
  return `${event.sourceSystem}:${event.externalId}:${event.type}`;
}

/** @param uuid of version 7, see id.ts. */
export function eventId(uuid: string): EventId {
  return `evt_${uuid}`;
}

/**
 * The key of what is said with one person over one channel.
 *
 * @param peer `Identity.value` of the person or group, with its kind.
 */
export function conversationKey(
  provider: Provider,
  channelId: string,
  peer: { readonly kind: string; readonly value: string },
): string {
  return `${provider}/${channelId}/${peer.kind}/${peer.value}`;
}
