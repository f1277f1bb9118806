import type { ChannelState, Provider } from "#core/channel/channel.ts";
import type { JsonObject } from "#core/json.ts";
import type { IncomingContent, OutgoingContent } from "#core/message/content.ts";

/**
 * The normalised payloads of the events that ponte makes. JSON documents, snake_case, because conditions (`payload.from.phone`),
 * templates and outgoing webhooks name their fields. Times are ISO 8601 in UTC.
 */
export const PAYLOAD_VERSION = 1;

export type ChannelRef = { readonly provider: Provider; readonly id: string };

/** A person, by whatever is known. At least one of `phone`, `lid`, `bsuid` is there. */
export type Person = {
  /** Digits without `+`, as WhatsApp gave them. */
  readonly phone?: string;
  /** The part before `@lid`. */
  readonly lid?: string;
  readonly bsuid?: string;
  readonly username?: string;
  readonly name?: string;
};

/** `whatsapp.inbound.message`, and with `from_me` `whatsapp.outbound.message` */
export type MessagePayload = {
  readonly channel: ChannelRef;
  /** The provider's id, such as `wamid.…` or `false_…@c.us_…`. */
  readonly message_id: string;
  /** Who wrote it; in a group the writer, not the group. With `from_me` the person that it was written to. */
  readonly from: Person;
  readonly chat: { readonly kind: "direct" | "group"; readonly id: string; readonly name?: string };
  /** Written on the business phone itself, or by ponte. */
  readonly from_me: boolean;
  readonly sent_at: string;
  readonly content: IncomingContent | OutgoingContent;
  /** The message that this one answers. */
  readonly reply_to?: string;
  readonly forwarded?: boolean;
};

/** `whatsapp.delivery.ack` */
export type DeliveryAckPayload = {
  readonly channel: ChannelRef;
  readonly message_id: string;
  readonly status: "sent" | "delivered" | "read" | "failed";
  readonly recipient?: Person;
  readonly at: string;
  readonly error?: { readonly code: string; readonly message: string };
};

/** `whatsapp.connection.update` */
export type ConnectionUpdatePayload = {
  readonly channel: ChannelRef;
  readonly state: ChannelState;
  /** The provider's own word for it. */
  readonly reason?: string;
  /** The business number, digits, where the provider tells it. */
  readonly phone?: string;
};

/** `call.*` */
export type CallPayload = {
  readonly call_id: string;
  readonly channel: ChannelRef;
  readonly caller: { readonly number?: string; readonly user_id?: string; readonly name?: string };
  readonly called_number?: string;
  /** Of the milestone: `trunk`, or the disposition of an ended call. */
  readonly facts: JsonObject;
};
