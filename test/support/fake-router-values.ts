import type { Channel } from "#core/channel/channel.ts";
import { conversationKey, eventId, type NewEvent } from "#core/event/event.ts";
import { uuidV7 } from "#core/id.ts";
import type { Rule } from "#core/rule/rule.ts";
import type { Endpoint, RuleDraft } from "#router/ports.ts";

/** Builders of what the router works with: whole, unless told otherwise. */

export const TENANT = "00000000-0000-7000-8000-000000000001";

export function fakeChannel(index: number): Channel {
  return {
    id: `channel-${index + 1}`,
    tenantId: TENANT,
    provider: "wpp_gateway",
    channelId: `gateway-${index + 1}`,
    enabled: true,
    state: "connected",
    webhookConfigured: true,
    metadata: {},
    createdAt: 0,
    updatedAt: 0,
  };
}

/** A rule that matches everything and logs it, unless told otherwise. */
export function fakeRule(rule: Partial<Rule>, index = 0): Rule {
  return {
    id: `rule-${index + 1}`,
    tenantId: TENANT,
    name: `rule ${index + 1}`,
    enabled: true,
    priority: 100,
    eventType: "*",
    actions: [{ type: "log" }],
    onMatch: "stop",
    version: 1,
    updatedAt: 0,
    updatedBy: "ponte",
    ...rule,
  };
}

/** A rule as somebody would store it. */
export function fakeDraft(draft: Partial<RuleDraft>): RuleDraft {
  const { id: _id, tenantId: _tenant, version: _version, updatedAt: _at, updatedBy: _by, ...rest } = fakeRule(draft);
  return rest;
}

export function fakeEndpoint(index: number): Endpoint {
  return {
    id: `00000000-0000-7000-8000-00000000e00${index + 1}`,
    tenantId: TENANT,
    url: "https://example.org/hook",
    events: [],
    enabled: true,
    allowPrivate: false,
    createdAt: 0,
  };
}

let made = 0;

/** An event of an internal system, unless told otherwise. */
export function fakeEvent(event: Partial<NewEvent> = {}): NewEvent {
  made += 1;
  const id = eventId(uuidV7(1_760_000_000_000 + made, new Uint8Array(16).fill(made & 0xff)));
  return {
    eventId: id,
    traceId: "0af7651916cd43dd8448eb211c80319c",
    tenantId: TENANT,
    sourceSystem: "billing",
    externalId: `external-${made}`,
    type: "billing.invoice.overdue",
    payload: {},
    payloadVersion: 1,
    conversationKey: id,
    occurredAt: 1_760_681_506_000,
    receivedAt: 1_760_681_506_000,
    ...event,
  };
}

/** What somebody writes to the first channel of the fake world. */
export function inboundMessage(text: string, phone = "5511987654321", id = `in-${made}`): NewEvent {
  return fakeEvent({
    type: "whatsapp.inbound.message",
    sourceSystem: "wpp_gateway",
    provider: "wpp_gateway",
    channelId: "gateway-1",
    externalId: `gateway-1/${id}`,
    conversationKey: conversationKey("wpp_gateway", "gateway-1", { kind: "phone", value: phone }),
    payload: {
      channel: { provider: "wpp_gateway", id: "gateway-1" },
      message_id: id,
      from: { phone, name: "Ana" },
      chat: { kind: "direct", id: phone },
      from_me: false,
      sent_at: "2025-10-17T06:11:46.000Z",
      content: { type: "text", text },
    },
  });
}
