import type { Instant } from "#core/call/call.ts";
import type { JsonObject } from "#core/json.ts";

/** Who carries a tenant's WhatsApp messages: a WPPConnect-style gateway, or Meta. */
export type Provider = "wpp_gateway" | "cloud_api";

/**
 * Where a channel stands. A `cloud_api` channel is `connected` from the start; one of a gateway goes
 *
 *     new ──▶ connecting ──▶ qr ──▶ connected ◀──▶ disconnected
 */
export type ChannelState = "new" | "connecting" | "qr" | "connected" | "disconnected";

/** A tenant's connection to WhatsApp; a row of `tenant_message_channels`. */
export interface Channel {
  /** UUID: ponte's own id of the row. */
  readonly id: string;
  readonly tenantId: string;
  readonly provider: Provider;
  /** The provider's name for it: the gateway's channel id, or Meta's `phone_number_id`. Unique per provider. */
  readonly channelId: string;
  /** For people. */
  readonly name?: string;
  /**
   * False: nothing is sent over it. What comes over one of a gateway is answered and dropped, until it is switched on again; what
   * people write to one of the Cloud API is taken, and only its calls are not.
   */
  readonly enabled: boolean;
  readonly state: ChannelState;
  /** The business number, digits, as soon as it is known. */
  readonly phone?: string;
  /** The gateway knows our address and secret. */
  readonly webhookConfigured: boolean;
  readonly metadata: JsonObject;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
}
