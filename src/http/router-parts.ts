import type {
  ChannelDirectoryPort,
  DeliveryStorePort,
  EndpointStorePort,
  EventIntakePort,
  EventLogPort,
  InboxPort,
  ParkedEventsPort,
  RuleStorePort,
  TenantPort,
} from "#router/ports.ts";
import type { GatewayWebhookPort, OnboardingPort, RouterServicePort } from "#router/services.ts";

/** What stands behind the resources of messages and events. A server without it serves calls alone. */
export interface RouterParts {
  /** Whose events come with the ingestion secret, and whose API keys those are that name no tenant. */
  readonly tenantId: string;
  /** Absent: events are taken with an API key only. */
  readonly ingestionSecret?: string;
  /** Absent: every tenant that is named is believed to be there. */
  readonly tenants?: Pick<TenantPort, "exists">;
  readonly intake: EventIntakePort;
  readonly events: EventLogPort;
  /** What came over channels of nobody; shown to that tenant alone, for others could learn from it whom they do not serve. */
  readonly parked: ParkedEventsPort;
  readonly rules: RuleStorePort;
  readonly channels: ChannelDirectoryPort;
  readonly inbox: InboxPort;
  readonly endpoints: EndpointStorePort;
  readonly deliveries: DeliveryStorePort;
  readonly service: RouterServicePort;
  /** Absent: there is no message gateway, and its webhooks have no address. */
  readonly gatewayWebhook?: GatewayWebhookPort;
  /** Absent: there is no message gateway, and channels cannot be connected. */
  readonly onboarding?: OnboardingPort;
  /** Whether endpoints may ask to reach private addresses. Default false. */
  readonly allowPrivateEndpoints?: boolean;
  /** Why an endpoint must not have this address (the SSRF guard at save time); undefined: it may. */
  readonly refuseUrl?: (url: string, allowPrivate: boolean) => Promise<string | undefined>;
}
