import type { Clock, Log } from "#engine/ports.ts";
import type {
  ChannelDirectoryPort,
  ContactPort,
  DeliveryStorePort,
  EffectLedgerPort,
  EndpointStorePort,
  EventLogPort,
  InboxPort,
  QueuePort,
  RuleStorePort,
  Senders,
  WebhookDeliveryPort,
} from "./ports.ts";

/** Everything that the router works with. */
export interface RouterWorld {
  readonly queue: QueuePort;
  readonly events: EventLogPort;
  readonly effects: EffectLedgerPort;
  readonly rules: RuleStorePort;
  readonly channels: ChannelDirectoryPort;
  readonly contacts: ContactPort;
  readonly inbox: InboxPort;
  readonly endpoints: EndpointStorePort;
  readonly deliveries: DeliveryStorePort;
  readonly senders: Senders;
  readonly webhooks: WebhookDeliveryPort;
  readonly clock: Clock;
  readonly log: Log;
  /** 32 random bytes. */
  readonly random: () => Uint8Array;
}
