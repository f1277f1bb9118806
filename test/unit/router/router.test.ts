import { afterEach, describe, expect, test } from "vitest";
import type { SendOutcome } from "#core/message/message.ts";
import type { Rule } from "#core/rule/rule.ts";
import type { WebhookOutcome } from "#router/ports.ts";
import { EventRouter } from "#router/router.ts";
import type { LiveChange } from "#router/services.ts";
import { fakeEvent, inboundMessage, TENANT } from "#test/support/fake-router-values.ts";
import { FakeRouterWorld, type FakeWorldOptions } from "#test/support/fake-router-world.ts";

const ENDPOINT = "00000000-0000-7000-8000-00000000e001";
const RETRY_MS = 5_000;
const toInbox: Partial<Rule> = { eventType: "whatsapp.inbound.message", actions: [{ type: "inbox" }] };
const toCustomer: Partial<Rule> = {
  eventType: "billing.*",
  actions: [
    { type: "send_message", to: "{{payload.phone}}", content: { type: "text", text: "Fatura {{payload.id}}" } },
  ],
};
const toWebhook: Partial<Rule> = { actions: [{ type: "webhook", endpoint_id: ENDPOINT }] };
const invoice = (id: string, phone = "5511987654321") => fakeEvent({ payload: { phone, id } });

let stop: () => Promise<void> = async () => undefined;
afterEach(() => stop());

async function running(options: FakeWorldOptions) {
  const world = new FakeRouterWorld(options);
  const schedule = (attempts: number) => (attempts < 3 ? RETRY_MS : undefined);
  const router = new EventRouter(Object.assign(world, { schedule }));
  await router.start();
  stop = async () => {
    await router.stop();
    expect(world.clock.pending).toBe(0);
  };
  return { world, router };
}

function refusal(more: Partial<Extract<SendOutcome, { ok: false }>["failure"]>): SendOutcome {
  const failure = { code: "unreachable", message: "no answer", httpStatus: 0, retryable: true, uncertain: false };
  return { ok: false, failure: { ...failure, ...more } };
}

const states = (world: FakeRouterWorld) => [...world.queue.effects.values()].map(({ state }) => state);
const texts = (world: FakeRouterWorld) =>
  world.sent.map(({ content }) => (content.type === "text" ? content.text : content.type));

describe("the inbox", () => {
  test("takes a message in, once, under the name of who wrote it", async () => {
    const { world, router } = await running({ rules: [toInbox] });
    const changes: LiveChange[] = [];
    router.watch((change) => changes.push(change));
    const event = inboundMessage("oi");
    await world.intake.accept(event);
    await world.settle();
    await world.route(event);
    await world.settle();
    expect(world.inboxMessages).toMatchObject([
      { direction: "in", state: "received", author: "Ana", content: { type: "text", text: "oi" } },
    ]);
    expect(states(world)).toEqual(["done"]);
    expect(changes.map(({ kind }) => kind)).toEqual(["message", "event", "event"]);
  });

  test.each([
    ["within its second", 5_000, 5_300, 5_300],
    ["later", 5_000, 9_000, 5_999],
    ["from a clock that is ahead", 5_000, 4_000, 5_000],
    ["with a time to the millisecond", 5_120, 5_300, 5_120],
  ])("gives a message that comes %s the best time that is known", async (_what, occurredAt, receivedAt, at) => {
    const { world } = await running({ rules: [toInbox] });
    await world.intake.accept({ ...inboundMessage("oi"), occurredAt, receivedAt });
    await world.settle();
    expect(world.inboxMessages).toMatchObject([{ at }]);
  });

  test("shows what was written on the business phone as ours, and a missed call by its name", async () => {
    const { world } = await running({ rules: [{ actions: [{ type: "inbox" }] }] });
    const mine = inboundMessage("já vai", "5511987654321", "mine");
    await world.intake.accept({ ...mine, payload: { ...mine.payload, from_me: true } });
    await world.intake.accept({
      ...inboundMessage("", "5511987654321", "call"),
      type: "call.missed",
      payload: { call_id: "c", caller: { number: "5511987654321", name: "Ana" } },
    });
    await world.settle();
    expect(world.inboxMessages).toMatchObject([
      { direction: "out", state: "sent", author: "phone" },
      { direction: "in", author: "Ana", content: { type: "unsupported", kind: "call.missed" } },
    ]);
    expect(new Set(world.inboxMessages.map(({ conversationId }) => conversationId)).size).toBe(1);
  });

  test("refuses an event that is about nobody, for good", async () => {
    const { world } = await running({ rules: [{ actions: [{ type: "inbox" }] }] });
    await world.intake.accept(fakeEvent());
    await world.settle();
    expect(states(world)).toEqual(["dead"]);
  });
});

describe("a message to a customer", () => {
  test("is filled in, stored, sent once and settled", async () => {
    const { world } = await running({ rules: [toCustomer] });
    await world.intake.accept(invoice("F-1"));
    await world.settle();
    expect(texts(world)).toEqual(["Fatura F-1"]);
    expect(world.sent[0]).toMatchObject({ provider: "wpp_gateway", channelId: "gateway-1", to: [{ kind: "phone" }] });
    expect(world.inboxMessages).toMatchObject([{ direction: "out", state: "sent", providerMessageId: "native-1" }]);
    expect(states(world)).toEqual(["done"]);
  });

  test("is not made when a value is missing", async () => {
    const { world } = await running({ rules: [toCustomer] });
    await world.intake.accept(fakeEvent({ payload: { phone: "5511987654321" } }));
    await world.settle();
    expect([...world.queue.effects.values()]).toMatchObject([{ state: "dead", error: "payload.id is missing" }]);
    expect(world.sent).toEqual([]);
  });

  test.each<[string, FakeWorldOptions["channels"], string]>([
    ["no channel", [], "the tenant has no enabled channel"],
    ["a channel that is switched off", [{ enabled: false }], "the tenant has no enabled channel"],
    ["several channels", [{}, {}], "the tenant has several channels, and the rule names none of them"],
    [
      "several of the Cloud API",
      [{ provider: "cloud_api" }, { provider: "cloud_api" }],
      "the tenant has several channels, and the rule names none of them",
    ],
  ])("has nowhere to go with %s", async (_what, channels, error) => {
    const { world } = await running({ rules: [toCustomer], channels: channels ?? [] });
    await world.intake.accept(invoice("F-1"));
    await world.settle();
    expect([...world.queue.effects.values()]).toMatchObject([{ state: "dead", error }]);
  });

  test("goes over the gateway's only channel when there are others of the Cloud API", async () => {
    const channels: FakeWorldOptions["channels"] = [{ provider: "cloud_api" }, {}, { provider: "cloud_api" }];
    const { world } = await running({ rules: [toCustomer], channels });
    await world.intake.accept(invoice("F-1"));
    await world.settle();
    expect(world.sent).toMatchObject([{ provider: "wpp_gateway" }]);
  });

  test("waits for its gateway, those behind it to the same person wait too, and others do not", async () => {
    const { world } = await running({ rules: [toCustomer] });
    world.sendOutcomes.push(refusal({}));
    await world.intake.accept(invoice("A-1"));
    await world.settle();
    await world.intake.accept(invoice("A-2"));
    await world.intake.accept(invoice("B-1", "5511911112222"));
    await world.settle();
    expect(texts(world)).toEqual(["Fatura A-1", "Fatura B-1"]);
    world.clock.advance(2_000);
    await world.settle();
    expect(texts(world)).toEqual(["Fatura A-1", "Fatura B-1", "Fatura A-1", "Fatura A-2"]);
    expect(world.inboxMessages).toHaveLength(3);
    expect(states(world)).toEqual(["done", "done", "done"]);
  });

  test("waits as long as its provider asks", async () => {
    const { world } = await running({ rules: [toCustomer] });
    world.sendOutcomes.push(refusal({ code: "rate_limited", retryAfterMs: 60_000 }));
    await world.intake.accept(invoice("A-1"));
    await world.settle();
    world.clock.advance(59_000);
    await world.settle();
    expect(world.sent).toHaveLength(1);
    world.clock.advance(2_000);
    await world.settle();
    expect(world.sent).toHaveLength(2);
  });

  test("is never repeated when the answer was lost, not even by a replay", async () => {
    const { world } = await running({ rules: [toCustomer] });
    world.sendOutcomes.push(refusal({ uncertain: true }));
    const event = invoice("A-1");
    await world.intake.accept(event);
    await world.settle();
    expect(states(world)).toEqual(["unknown"]);
    expect(world.inboxMessages).toMatchObject([{ state: "failed", error: { code: "uncertain" } }]);
    await world.events.replay({ tenantId: TENANT, eventIds: [event.eventId], limit: 1, by: "test" });
    await world.settle();
    expect(world.sent).toHaveLength(1);
    expect(world.queue.counts).toEqual({ queued: 0, dead: 0 });
  });

  test("that was begun by a process which died is reported, not repeated", async () => {
    const { world } = await running({ rules: [toCustomer] });
    const event = invoice("A-1");
    const start = world.queue.start.bind(world.queue);
    world.queue.start = async (key) => {
      await start(key);
      return start(key);
    };
    await world.intake.accept(event);
    await world.settle();
    expect(world.sent).toEqual([]);
    expect(states(world)).toEqual(["unknown"]);
  });

  test("that is refused becomes a dead letter, which a replay tries again", async () => {
    const { world } = await running({ rules: [toCustomer] });
    world.sendOutcomes.push(refusal({ code: "unknown_recipient", retryable: false }));
    const event = invoice("A-1");
    await world.intake.accept(event);
    await world.settle();
    expect(states(world)).toEqual(["dead"]);
    expect(world.queue.counts).toEqual({ queued: 0, dead: 1 });
    expect(world.inboxMessages).toMatchObject([{ state: "failed", error: { code: "unknown_recipient" } }]);
    await world.events.replay({ tenantId: TENANT, eventIds: [event.eventId], limit: 1, by: "test" });
    await world.settle();
    expect(states(world)).toEqual(["done"]);
    expect(world.inboxMessages).toMatchObject([{ state: "sent" }]);
    expect(world.sent).toHaveLength(2);
  });

  test("that succeeded is repeated by a replay only when that is asked for", async () => {
    const { world } = await running({ rules: [toCustomer] });
    const event = invoice("A-1");
    await world.intake.accept(event);
    await world.settle();
    const replay = { tenantId: TENANT, eventIds: [event.eventId], limit: 1, by: "test" };
    await world.events.replay(replay);
    await world.settle();
    expect(world.sent).toHaveLength(1);
    await world.events.replay({ ...replay, repeat: true });
    await world.settle();
    expect(world.sent).toHaveLength(2);
    expect([...world.queue.effects.keys()].at(-1)).toBe(`${event.eventId}/rule-1/0/r1`);
  });
});

describe("a webhook", () => {
  const attempt = { at: 0, tookMs: 1 };
  const failed: WebhookOutcome = { ok: false, attempt: { ...attempt, status: 503 }, retryable: true };

  test("gets what a rule says and what its endpoint asked for, once each", async () => {
    const { world } = await running({
      rules: [toWebhook],
      endpoints: [{}, { events: ["billing.*"] }, { events: ["call.*"] }],
    });
    const event = fakeEvent();
    await world.intake.accept(event);
    await world.settle();
    expect(world.delivered.map(({ endpointId }) => endpointId.slice(-1))).toEqual(["1", "2"]);
    expect(world.deliveryRows).toMatchObject([{ state: "delivered" }, { state: "delivered" }]);
    expect([...world.queue.effects.keys()].map((key) => key.split("/")[1])).toEqual(["rule-1", "subscription"]);
  });

  test("is tried again by its schedule, then given up", async () => {
    const { world } = await running({ rules: [toWebhook], endpoints: [{}] });
    world.webhookOutcomes.push(failed, failed, failed);
    await world.intake.accept(fakeEvent());
    for (let turn = 0; turn < 4; turn += 1) {
      await world.settle();
      world.clock.advance(RETRY_MS);
    }
    await world.settle();
    expect(world.delivered).toHaveLength(3);
    expect(world.deliveryRows).toMatchObject([{ state: "dead", attempts: [{}, {}, { status: 503 }] }]);
    expect([...world.queue.effects.values()]).toMatchObject([{ state: "dead", error: "failed 503" }]);
  });

  test("is called again when it is not known whether it was called: it knows the event's id", async () => {
    const { world } = await running({ rules: [toWebhook], endpoints: [{}] });
    const start = world.queue.start.bind(world.queue);
    world.queue.start = async (key) => {
      await start(key);
      return start(key);
    };
    await world.intake.accept(fakeEvent());
    await world.settle();
    expect(world.delivered).toHaveLength(1);
    expect(states(world)).toEqual(["done"]);
  });

  test("answers with a reply, whose texts are taken as they are", async () => {
    const { world } = await running({ rules: [toWebhook], endpoints: [{}] });
    const reply = { actions: [{ type: "send_message", content: { type: "text", text: "{{payload.x}}" } }] } as const;
    world.webhookOutcomes.push({ ok: true, attempt: { ...attempt, status: 200 }, reply });
    const event = inboundMessage("oi");
    await world.intake.accept(event);
    await world.settle();
    expect(world.sent).toMatchObject([{ to: [{ value: "5511987654321" }], content: { text: "{{payload.x}}" } }]);
    expect([...world.queue.effects.keys()].at(-1)).toBe(`${event.eventId}/rule-1/0.0`);
  });

  test("that answers with itself goes round a few times only", async () => {
    const { world } = await running({ rules: [toWebhook], endpoints: [{}] });
    const again: WebhookOutcome = {
      ok: true,
      attempt: { ...attempt, status: 200 },
      reply: { actions: [{ type: "webhook", endpoint_id: ENDPOINT }] },
    };
    world.webhookOutcomes.push(again, again, again, again, again);
    await world.intake.accept(fakeEvent());
    await world.settle();
    expect(world.delivered).toHaveLength(3);
  });

  test.each<[string, FakeWorldOptions["endpoints"], string]>([
    ["gone", [], "there is no such endpoint"],
    ["switched off", [{ enabled: false, disabledReason: "failing" }], "the endpoint is switched off: failing"],
  ])("whose endpoint is %s is not called", async (_what, endpoints, error) => {
    const { world } = await running({ rules: [toWebhook], endpoints: endpoints ?? [] });
    await world.intake.accept(fakeEvent());
    await world.settle();
    expect([...world.queue.effects.values()]).toMatchObject([{ state: "dead", error }]);
    expect(world.delivered).toEqual([]);
  });
});

describe("acks and connections", () => {
  const ack = (status: string, id = "native-1") => ({
    ...inboundMessage(""),
    type: "whatsapp.delivery.ack",
    payload: { message_id: id, status, at: "2025-10-17T06:11:46.000Z" },
  });

  test("an ack moves its message, whatever the rules say", async () => {
    const { world } = await running({ rules: [toCustomer] });
    await world.intake.accept(invoice("F-1"));
    await world.settle();
    await world.intake.accept(ack("delivered"));
    await world.settle();
    expect(world.inboxMessages).toMatchObject([{ state: "delivered" }]);
  });

  test("an ack tells those who watch the conversation, and one that changes nothing tells nobody", async () => {
    const { world, router } = await running({ rules: [toCustomer] });
    await world.intake.accept(invoice("F-1"));
    await world.settle();
    const changes: LiveChange[] = [];
    router.watch((change) => changes.push(change));
    await world.intake.accept(ack("delivered"));
    await world.intake.accept(ack("read", "nobody's"));
    await world.settle();
    const [message] = world.inboxMessages;
    expect(changes.filter(({ kind }) => kind === "message")).toEqual([
      {
        tenantId: expect.any(String),
        kind: "message",
        conversationId: message?.conversationId,
        messageId: message?.id,
      },
    ]);
  });

  test("an ack that overtakes the answer to its request waits for it, also after a backlog, and not for ever", async () => {
    const { world } = await running({ rules: [] });
    const { message } = await world.inbox.put({
      id: "00000000-0000-7000-8000-00000000a001",
      tenantId: TENANT,
      channel: world.channelRows[0]?.id ?? "",
      contactId: "00000000-0000-7000-8000-00000000c001",
      direction: "out",
      content: { type: "text", text: "on its way" },
      state: "queued",
      idem: "on its way",
      author: "a rule",
      at: world.clock.now(),
    });
    const accepted = world.intake.accept(ack("delivered", "not yet"));
    // Others were before it.
    world.clock.advance(60_000);
    await accepted;
    await world.settle();
    expect(world.queue.finished).toEqual(["route retry"]);
    for (let n = 0; n < 5; n += 1) {
      world.clock.advance(1_500);
      await world.settle();
    }
    expect(new Set(world.queue.finished)).toEqual(new Set(["route retry"]));
    await world.inbox.sent(message.id, { providerMessageId: "not yet" });
    world.clock.advance(5_000);
    await world.settle();
    expect(world.queue.finished.at(-1)).toBe("route done");
    expect(world.inboxMessages).toMatchObject([{ state: "delivered" }]);
  });

  test("an ack of nobody's message holds nothing up", async () => {
    const { world } = await running({ rules: [] });
    await world.intake.accept(ack("delivered", "nobody's"));
    await world.settle();
    expect(world.queue.finished).toEqual(["route done"]);
  });

  test("a connection update changes the channel, and warns when it is lost", async () => {
    const { world, router } = await running({ rules: [] });
    const changes: LiveChange[] = [];
    router.watch((change) => changes.push(change));
    const update = { ...inboundMessage(""), type: "whatsapp.connection.update", payload: { state: "disconnected" } };
    await world.intake.accept(update);
    await world.settle();
    expect(world.channelRows).toMatchObject([{ state: "disconnected" }]);
    expect(world.log.lines.filter(({ level }) => level === "warn")).toMatchObject([
      { message: "a channel lost its connection" },
    ]);
    expect(changes[0]).toEqual({ tenantId: TENANT, kind: "channel", id: "channel-1", state: "disconnected" });
  });
});

test("a drop ends the actions and the search, and the event counts as ignored", async () => {
  const { world } = await running({
    rules: [{ actions: [{ type: "log" }, { type: "drop" }, { type: "log" }], onMatch: "continue" }, toCustomer],
  });
  const event = invoice("F-1");
  await world.intake.accept(event);
  await world.settle();
  expect([...world.queue.effects.values()].map(({ planned }) => planned.kind)).toEqual(["log", "drop"]);
  expect(world.stored.get(event.eventId)?.status).toBe("ignored");
});

test("a rule that has changed holds for the next event", async () => {
  const { world } = await running({ rules: [{ actions: [{ type: "drop" }] }] });
  await world.intake.accept(invoice("F-1"));
  await world.settle();
  world.setRules([toCustomer]);
  await world.intake.accept(invoice("F-2"));
  await world.settle();
  expect(texts(world)).toEqual(["Fatura F-2"]);
});

test("a slow channel gets its share of the workers, and the others go on", async () => {
  const { world } = await running({
    channels: [{}, {}],
    rules: [
      {
        actions: [
          {
            type: "send_message",
            to: "{{payload.phone}}",
            channel_id: "{{payload.channel}}",
            content: { type: "text", text: "x" },
          },
        ],
      },
    ],
  });
  const stuck: ((outcome: SendOutcome) => void)[] = [];
  world.sendOutcomes.push(
    ...Array.from({ length: 100 }, () => () => new Promise<SendOutcome>((resolve) => stuck.push(resolve))),
  );
  for (let person = 0; person < 80; person += 1)
    await world.intake.accept(fakeEvent({ payload: { phone: `55119${10_000_000 + person}`, channel: "gateway-1" } }));
  await world.settle();
  const ofFirst = () => world.sent.filter(({ channelId }) => channelId === "gateway-1").length;
  expect(ofFirst()).toBe(32);
  await world.intake.accept(fakeEvent({ payload: { phone: "5511987654321", channel: "gateway-2" } }));
  await world.settle();
  expect(world.sent.at(-1)).toMatchObject({ channelId: "gateway-2" });
  while (stuck.length > 0) {
    for (const answer of stuck.splice(0)) answer({ ok: true, providerMessageId: crypto.randomUUID() });
    await world.settle();
  }
  expect(ofFirst()).toBe(80);
});

describe("a person's message", () => {
  const content = { type: "text", text: "Posso ajudar?" } as const;

  test("goes back into its conversation, once for one key", async () => {
    const { world, router } = await running({ rules: [toInbox] });
    await world.intake.accept(inboundMessage("oi"));
    await world.settle();
    const conversationId = world.inboxMessages[0]?.conversationId ?? "";
    const request = { tenantId: TENANT, to: { conversationId }, content, by: "Bia", idempotencyKey: "k" };
    const [first, again] = [await router.send(request), await router.send(request)];
    await world.settle();
    expect(first).toMatchObject({ ok: true, value: { state: "queued", author: "Bia" } });
    expect(again.ok && first.ok && again.value.id === first.value.id).toBe(true);
    expect(world.sent).toMatchObject([{ content, to: [{ value: "5511987654321" }] }]);
    expect(world.inboxMessages).toMatchObject([{}, { state: "sent", providerMessageId: "native-1" }]);
  });

  test.each([
    ["an unknown conversation", { conversationId: "none" }, content, 404],
    ["an unknown channel", { phone: "5511987654321", channel: "none" }, content, 404],
    ["no number", { phone: "hello", channel: "channel-1" }, content, 400],
    ["an empty text", { phone: "5511987654321", channel: "channel-1" }, { type: "text", text: "" }, 400],
  ] as const)("to %s is refused", async (_what, to, what, status) => {
    const { world, router } = await running({});
    expect(await router.send({ tenantId: TENANT, to, content: what, by: "Bia" })).toMatchObject({ ok: false, status });
    expect(world.inboxMessages).toEqual([]);
  });
});

test("four slow channels of one tenant leave a quarter of the workers to others", async () => {
  const send = { type: "send_message", to: "{{payload.phone}}", channel_id: "{{payload.channel}}" } as const;
  const { world } = await running({
    channels: [{}, {}, {}, {}],
    rules: [{ actions: [{ ...send, content: { type: "text", text: "x" } }] }],
  });
  const stuck: ((outcome: SendOutcome) => void)[] = [];
  world.sendOutcomes.push(
    ...Array.from({ length: 160 }, () => () => new Promise<SendOutcome>((resolve) => stuck.push(resolve))),
  );
  for (let person = 0; person < 160; person += 1) {
    const payload = { phone: `55119${10_000_000 + person}`, channel: `gateway-${1 + (person % 4)}` };
    await world.intake.accept(fakeEvent({ payload }));
  }
  await world.settle();
  expect(world.sent).toHaveLength(96);
  while (stuck.length > 0) {
    for (const answer of stuck.splice(0)) answer({ ok: true, providerMessageId: crypto.randomUUID() });
    await world.settle();
  }
  expect(world.sent).toHaveLength(160);
});

test("a dry run tells every rule's verdict and every action filled in, and does nothing", async () => {
  const { world, router } = await running({ rules: [{ ...toWebhook, onMatch: "continue" }, toCustomer, toInbox] });
  const report = await router.dryRun(TENANT, {
    type: "billing.invoice.overdue",
    payload: { phone: "5511987654321", id: "F-1" },
  });
  expect(report.verdicts.map(({ reason }) => reason)).toEqual(["matched", "matched", "not_reached"]);
  expect(report.effects).toMatchObject([
    { ruleId: "rule-1", problem: "there is no such endpoint" },
    { ruleId: "rule-2", action: { to: "5511987654321", content: { text: "Fatura F-1" } } },
  ]);
  await world.settle();
  expect([world.sent, world.stored.size, world.queue.effects.size]).toEqual([[], 0, 0]);
});
