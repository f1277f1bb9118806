import { beforeEach, expect, test } from "vitest";
import type { Channel } from "#core/channel/channel.ts";
import { PonteError } from "#core/error.ts";
import type { NewEvent } from "#core/event/event.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import {
  body,
  callWebhook,
  channelId,
  connect,
  metadata,
  sign,
  webhook,
} from "#test/support/fixtures/webhooks/webhooks.ts";
import { quietLog } from "#test/support/quiet-log.ts";
import { WebhookReceiver } from "#whatsapp/receiver.ts";

const secret = "app secret";
const message = { from: "5511987654321", id: "wamid.1", timestamp: "1760681500", type: "text", text: { body: "Oi" } };
const change = (...messages: readonly object[]) => ({ field: "messages", value: { metadata, messages } });

let events: NewEvent[];
let offers: string[];
let inbox: string[];
let ends: (string | undefined)[];
let failure: Error | undefined;
let channel: Pick<Channel, "tenantId"> | undefined;
let receiver: WebhookReceiver;

beforeEach(() => {
  [events, offers, inbox, ends, failure] = [[], [], [], [], undefined];
  channel = { tenantId: "tenant-1" };
  receiver = new WebhookReceiver({
    secrets: [secret],
    log: quietLog(),
    clock: new FakeClock(),
    engine: { take: async (event) => void (event.type === "offer" && offers.push(event.offer.wacid)) },
    inbox: {
      accept: async (_, bytes) => ({ id: `${inbox.push(bytes.toString())}`, duplicate: false }),
      unprocessed: async () => [],
      done: (_, error) => void ends.push(error),
    },
    messages: {
      randomBytes: (count) => new Uint8Array(count).fill(7),
      channels: { find: async () => channel as Channel | undefined },
      intake: {
        accept: async (event) => {
          if (failure !== undefined) throw failure;
          const known = events.find(({ externalId, type }) => externalId === event.externalId && type === event.type);
          if (known === undefined) events.push(event);
          const { eventId, traceId } = known ?? event;
          return { eventId, traceId, duplicate: known !== undefined, conflict: false };
        },
      },
    },
  });
});

const send = (document: object) => receiver.receive(body(document), sign(body(document), secret));

test("a message is answered when it is committed as an event of its tenant, and needs no inbox", async () => {
  expect(await send(webhook(change(message, { ...message, id: "wamid.2" })))).toEqual({ status: 200 });
  expect(events).toMatchObject([
    { tenantId: "tenant-1", externalId: `${channelId}/wamid.1`, type: "whatsapp.inbound.message" },
    { tenantId: "tenant-1", externalId: `${channelId}/wamid.2` },
  ]);
  expect(events[0]?.eventId).toMatch(/^evt_[0-9a-f-]{36}$/);
  expect(inbox).toEqual([]);
});

test("the same webhook again is answered and does nothing", async () => {
  await send(webhook(change(message)));
  expect(await send(webhook(change(message)))).toEqual({ status: 200 });
  expect(events).toHaveLength(1);
  expect(receiver.counters).toMatchObject({ messages: 1, messageDuplicates: 1 });
});

test("without the store Meta is asked to come back, and then the message is taken", async () => {
  failure = new PonteError("store_unavailable", "away", { retryable: true });
  expect(await send(webhook(change(message)))).toEqual({ status: 503 });
  failure = undefined;
  expect(await send(webhook(change(message)))).toEqual({ status: 200 });
  expect(events).toHaveLength(1);
});

test("an unknown channel's message is parked", async () => {
  channel = undefined;
  expect(await send(webhook(change(message)))).toEqual({ status: 200 });
  expect(events[0]).not.toHaveProperty("tenantId");
  expect(receiver.counters).toMatchObject({ messagesParked: 1, messages: 0 });
  channel = { tenantId: "tenant-1" };
  await send(webhook(change({ ...message, id: "wamid.2" })));
  expect(events[1]?.tenantId).toBe("tenant-1");
});

test("what the store will never take is answered, and its body kept", async () => {
  failure = new PonteError("event_refused", "too long");
  expect(await send(webhook(change(message)))).toEqual({ status: 200 });
  expect(inbox).toHaveLength(1);
  expect(ends).toEqual(["1 messages were refused by the store"]);
});

test("a call beside messages goes its own way, whatever happens to them", async () => {
  failure = new PonteError("store_unavailable", "away", { retryable: true });
  const both = webhook(change(message));
  (both as { entry: object[] }).entry.push(...(callWebhook(connect) as { entry: object[] }).entry);
  expect(await send(both)).toEqual({ status: 503 });
  await receiver.stop();
  expect(offers).toEqual([connect.id]);
});

test("forged messages store nothing", async () => {
  const document = webhook(change(message));
  expect(await receiver.receive(body(document), sign(body(document), "another"))).toEqual({ status: 401 });
  expect([events, inbox]).toEqual([[], []]);
});
