import type { CommunicationEvent } from "#core/event/event.ts";
import { eventId, type FakeRouter, id, TENANT } from "./http-router.ts";

/** What an ordinary day leaves behind: two channels, three conversations, an event with everything that came of it. */
export function tellStory(router: FakeRouter): void {
  const now = router.clock.now();
  const minutes = (count: number): number => now - count * 60_000;
  const channel = { tenantId: TENANT, provider: "wpp_gateway" as const, enabled: true, metadata: {}, updatedAt: now };
  router.channels.push(
    {
      ...channel,
      id: id(1),
      channelId: "front-desk",
      name: "Front desk",
      state: "connected",
      phone: "5511987654321",
      webhookConfigured: true,
      createdAt: minutes(9_000),
    },
    {
      ...channel,
      id: id(2),
      channelId: "sales",
      name: "Sales",
      state: "disconnected",
      webhookConfigured: false,
      createdAt: minutes(5_000),
    },
  );
  const people = [
    ["Ana Souza", "5511912345678", 2, "Can I pay the invoice with Pix?", 3],
    ["Bruno Lima", "5521998877665", 0, "Thank you!", 95],
    ["Clínica Vida", "551133445566", 1, "📎 exam-results.pdf", 1_500],
  ] as const;
  for (const [i, [name, phone, unread, preview, ago]] of people.entries())
    router.conversations.push({
      tenantId: TENANT,
      id: id(11 + i),
      channel: id(1),
      provider: "wpp_gateway",
      channelId: "front-desk",
      contact: {
        id: id(21 + i),
        tenantId: TENANT,
        name,
        identities: [{ kind: "phone", value: phone, address: phone }],
      },
      state: "open",
      unread,
      ...(i === 1 ? { assignee: "Marta" } : {}),
      lastMessage: { at: minutes(ago), direction: "in", preview },
      lastInboundAt: minutes(ago),
    });
  const said = { conversationId: id(11) };
  router.messages.push(
    {
      ...said,
      id: id(31),
      direction: "out",
      content: { type: "text", text: "Hello Ana, invoice 1042 over R$ 180,00 was due yesterday." },
      state: "read",
      author: "Invoice reminder",
      eventId: eventId(51),
      at: minutes(9),
    },
    {
      ...said,
      id: id(32),
      direction: "in",
      content: { type: "text", text: "Hi! Sorry, I missed it." },
      state: "received",
      at: minutes(4),
      providerMessageId: "false_5511912345678@c.us_1",
    },
    {
      ...said,
      id: id(33),
      direction: "in",
      content: { type: "text", text: "Can I pay the invoice with Pix?" },
      state: "received",
      at: minutes(3),
    },
  );
  tellEvents(router, minutes);
}

function tellEvents(router: FakeRouter, minutes: (count: number) => number): void {
  const payload = {
    invoice: { id: 1042, amount: 180, due: "2025-10-16" },
    customer: { name: "Ana", phone: "+55 11 91234-5678" },
  };
  const event = (n: number, type: string, status: CommunicationEvent["status"], ago: number): CommunicationEvent => ({
    eventId: eventId(n),
    traceId: "0af7651916cd43dd8448eb211c80319c",
    tenantId: TENANT,
    sourceSystem: type.startsWith("whatsapp") ? "wpp_gateway" : "billing",
    externalId: `x-${n}`,
    type,
    payload,
    payloadVersion: 1,
    conversationKey: `c-${n}`,
    occurredAt: minutes(ago),
    receivedAt: minutes(ago),
    idempotencyKey: `k-${n}`,
    status,
    attempts: 1,
    conflicts: 0,
    ...(status === "dead" ? { lastError: "The endpoint answered 500 ten times." } : {}),
  });
  for (const one of [
    event(53, "asaas.payment.received", "processed", 300),
    event(52, "whatsapp.inbound.message", "dead", 20),
    event(51, "billing.invoice.overdue", "processed", 9),
  ])
    router.accepted.set(one.idempotencyKey, one);
  const rule = { id: id(41), version: 3, name: "Invoice reminder" };
  const effect = { eventId: eventId(51), rule, attempts: 1, plannedAt: minutes(9), settledAt: minutes(9) };
  router.effects.push(
    {
      ...effect,
      key: `${eventId(51)}/${id(41)}/0`,
      step: "0",
      kind: "send_message",
      state: "done",
      detail: { to: "5511912345678", text: "Hello Ana, invoice 1042 over R$ 180,00 was due yesterday." },
      response: { provider_message_id: "true_5511912345678@c.us_9" },
    },
    {
      ...effect,
      key: `${eventId(51)}/${id(41)}/1`,
      step: "1",
      kind: "webhook",
      state: "dead",
      detail: { endpoint_id: id(61) },
      error: "The endpoint answered 500.",
    },
  );
  router.endpoints.push({
    id: id(61),
    tenantId: TENANT,
    url: "https://crm.example.com/hooks/ponte",
    name: "CRM",
    events: ["whatsapp.inbound.*"],
    enabled: true,
    allowPrivate: false,
    createdAt: minutes(9_000),
    failingSince: minutes(9),
  });
  const delivery = { tenantId: TENANT, endpointId: id(61), eventId: eventId(51), createdAt: minutes(9) };
  router.deliveries.push(
    {
      ...delivery,
      id: id(71),
      effectKey: `${eventId(51)}/${id(41)}/1`,
      state: "dead",
      settledAt: minutes(1),
      attempts: [
        { at: minutes(9), tookMs: 120, status: 500, error: "status", response: "Internal Server Error" },
        { at: minutes(1), tookMs: 5_000, error: "timeout" },
      ],
    },
    {
      ...delivery,
      id: id(72),
      state: "delivered",
      settledAt: minutes(9),
      attempts: [{ at: minutes(9), tookMs: 42, status: 200, response: "ok" }],
    },
  );
  router.rules.push({
    id: id(41),
    tenantId: TENANT,
    name: "Invoice reminder",
    enabled: true,
    priority: 10,
    eventType: "billing.invoice.overdue",
    condition: "payload.invoice.amount > 100",
    hours: {
      timezone: "America/Sao_Paulo",
      applies: "inside",
      weekly: [{ days: [1, 2, 3, 4, 5], from: "08:00", to: "18:00" }],
    },
    actions: [
      {
        type: "send_message",
        to: "{{payload.customer.phone}}",
        content: { type: "text", text: "Hello {{payload.customer.name}}, invoice {{payload.invoice.id}} was due." },
      },
      { type: "webhook", endpoint_id: id(61) },
    ],
    onMatch: "stop",
    version: 3,
    updatedAt: minutes(600),
    updatedBy: "Marta",
  });
  router.rules.push({
    id: id(42),
    tenantId: TENANT,
    name: "Messages to the inbox",
    enabled: true,
    priority: 100,
    eventType: "whatsapp.inbound.message",
    actions: [{ type: "inbox" }],
    onMatch: "stop",
    version: 1,
    updatedAt: minutes(9_000),
    updatedBy: "ponte",
  });
}
