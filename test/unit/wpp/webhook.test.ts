import { createHmac } from "node:crypto";
import { beforeEach, expect, test } from "vitest";
import type { Channel } from "#core/channel/channel.ts";
import { PonteError } from "#core/error.ts";
import type { EventStatus, NewEvent } from "#core/event/event.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { quietLog } from "#test/support/quiet-log.ts";
import type { GatewayWebhookOptions } from "#wpp/webhook.ts";
import { GatewayWebhook, MAX_GATEWAY_BODY_BYTES } from "#wpp/webhook.ts";

const message = {
  event: "message",
  channel: "clinic",
  data: { id: "m1", from: "5511987654321@c.us", t: 1_760_681_500, type: "chat", body: "Oi" },
};
const owners: Readonly<Record<string, string>> = { clinic: "tenant-1", school: "tenant-2" };

let events: NewEvent[];
let failure: Error | undefined;
let secrets: Record<string, string>;
let status: EventStatus;
let stopped: Set<string>;
let clock: FakeClock;
let log: ReturnType<typeof quietLog>;
let webhook: GatewayWebhook;

function make(options: Partial<GatewayWebhookOptions> = {}): GatewayWebhook {
  return new GatewayWebhook({
    intake: {
      accept: async (event) => {
        if (failure !== undefined) throw failure;
        const known = events.find(({ externalId, type }) => externalId === event.externalId && type === event.type);
        if (known === undefined) events.push(event);
        const { eventId, traceId } = known ?? event;
        return { eventId, traceId, duplicate: known !== undefined, conflict: false };
      },
    },
    channels: {
      find: async (_, channelId) => {
        const tenantId = Object.hasOwn(owners, channelId) ? owners[channelId] : undefined;
        return tenantId === undefined
          ? undefined
          : ({ id: channelId, channelId, tenantId, enabled: !stopped.has(channelId) } as Channel);
      },
      secret: async (id) => secrets[id],
    },
    secrets: ["gateway secret"],
    secretRequired: true,
    randomBytes: (count) => new Uint8Array(count).fill(9),
    clock,
    log,
    ...options,
  });
}

beforeEach(() => {
  [events, failure, status] = [[], undefined, "received"];
  stopped = new Set();
  secrets = { clinic: "clinic secret", school: "school secret" };
  clock = new FakeClock();
  log = quietLog();
  webhook = make();
});

interface Sending {
  readonly body?: unknown;
  readonly channel?: string;
  readonly secret?: string;
  readonly headers?: Record<string, string>;
  readonly to?: GatewayWebhook;
}

function send({ body = message, channel, secret, headers = {}, to = webhook }: Sending) {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
  return to.receive({
    body: bytes,
    headers: { ...(secret === undefined ? {} : { "x-webhook-secret": secret }), ...headers },
    ...(channel === undefined ? {} : { channel }),
  });
}

test.each([
  ["the channel's secret, channel in the path", { channel: "clinic", secret: "clinic secret" }],
  ["the channel's secret, channel in the body", { secret: "clinic secret" }],
  ["the gateway's secret", { secret: "gateway secret" }],
  ["the gateway's secret as a bearer", { headers: { authorization: "Bearer gateway secret" } }],
  [
    "an HMAC of the body",
    {
      headers: {
        "x-hub-signature-256": `sha256=${createHmac("sha256", "clinic secret").update(JSON.stringify(message)).digest("hex")}`,
      },
    },
  ],
])("takes a message with %s", async (_, sending) => {
  expect(await send(sending)).toEqual({ ok: true, events: 1 });
  expect(events).toMatchObject([{ tenantId: "tenant-1", channelId: "clinic" }]);
});

test.each([
  ["no secret", {}],
  ["a wrong secret", { secret: "guess" }],
  ["an empty secret", { secret: "" }],
  ["another channel's secret", { channel: "clinic", secret: "school secret" }],
  ["another channel's secret, channel in the body", { secret: "school secret" }],
  ["a secret for one of two channels", { body: [message, { ...message, channel: "school" }], secret: "clinic secret" }],
  [
    "an HMAC of another body",
    {
      headers: { "x-hub-signature-256": `sha256=${createHmac("sha256", "clinic secret").update("{}").digest("hex")}` },
    },
  ],
  ["a signature that is none", { headers: { "x-signature": "clinic secret" } }],
  ["an unknown channel's made-up secret", { channel: "nobody", secret: "x" }],
  ["no secret and no JSON", { body: "nonsense" }],
])("refuses %s, and stores nothing but a counter", async (_, sending) => {
  expect(await send(sending)).toMatchObject({ ok: false, status: 401 });
  expect(events).toEqual([]);
  expect(webhook.counters).toMatchObject({ unauthorised: 1 });
});

test("nothing in the body overwrites the channel of the path", async () => {
  await send({
    channel: "clinic",
    secret: "clinic secret",
    body: { ...message, channel: "school", data: { ...message.data, channel: "school" } },
  });
  expect(events).toMatchObject([{ tenantId: "tenant-1", channelId: "clinic", payload: { channel: { id: "clinic" } } }]);
});

test("a channel that nobody has is parked", async () => {
  expect(await send({ channel: "nobody", secret: "gateway secret" })).toEqual({ ok: true, events: 1 });
  expect(events[0]).not.toHaveProperty("tenantId");
});

test.each([
  ["no JSON", "nonsense", 400],
  ["an empty body", "", 400],
  ["nested too deeply", "[".repeat(100_000), 400],
  ["a message without an id", { ...message, data: { ...message.data, id: undefined } }, 400],
  ["no channel", { ...message, channel: undefined }, 400],
  ["too many events", Array(501).fill(message), 413],
  ["oversized", Buffer.alloc(MAX_GATEWAY_BODY_BYTES + 1, 32), 413],
])("%s from the gateway itself: %#", async (_, body, expected) => {
  expect(await send({ body, secret: "gateway secret" })).toMatchObject({ ok: false, status: expected });
  expect(events).toEqual([]);
});

test("what comes over a channel that was stopped is counted, and neither taken nor asked for again", async () => {
  expect(await send({ channel: "clinic", secret: "clinic secret" })).toEqual({ ok: true, events: 1 });
  stopped.add("clinic");
  clock.advance(10_000);
  const second = { ...message, data: { ...message.data, id: "m2" } };
  expect(await send({ body: second, channel: "clinic", secret: "clinic secret" })).toEqual({ ok: true, events: 0 });
  const unreadable = { ...message, data: {} };
  expect(await send({ body: unreadable, secret: "gateway secret" })).toEqual({ ok: true, events: 0 });
  expect(await send({ body: second, channel: "clinic", secret: "guess" })).toMatchObject({ status: 401 });
  const both = [second, { ...second, channel: "school" }];
  expect(await send({ body: both, secret: "gateway secret" })).toEqual({ ok: true, events: 1 });
  expect(events.map(({ channelId }) => channelId)).toEqual(["clinic", "school"]);
  expect(webhook.counters).toMatchObject({ accepted: 2, switched_off: 3 });
  // At once: what comes after it was switched on again must not be lost.
  stopped.clear();
  expect(await send({ body: second, channel: "clinic", secret: "clinic secret" })).toEqual({ ok: true, events: 1 });
});

test("what is only partly understood is taken in part", async () => {
  const body = [{ ...message, data: {} }, { event: "onpresencechanged", channel: "clinic" }, message];
  expect(await send({ body, secret: "gateway secret" })).toEqual({ ok: true, events: 1 });
  expect(webhook.counters).toMatchObject({ accepted: 1, problems: 1, ignored: 1 });
});

test("the same again is a duplicate", async () => {
  for (let time = 0; time < 2; time++)
    expect(await send({ secret: "gateway secret" })).toEqual({ ok: true, events: 1 });
  expect(webhook.counters).toMatchObject({ accepted: 1, duplicates: 1 });
});

test("without the store the gateway is asked to come back; what is refused for ever is not", async () => {
  failure = new PonteError("store_unavailable", "away", { retryable: true });
  expect(await send({ secret: "gateway secret" })).toMatchObject({ status: 503 });
  failure = new PonteError("event_refused", "too long");
  expect(await send({ secret: "gateway secret" })).toEqual({ ok: true, events: 1 });
  expect(webhook.counters).toMatchObject({ store_failures: 1, refused: 1 });
});

test("where no secret is required, none may be shown, but no wrong one", async () => {
  const open = make({ secretRequired: false });
  expect(await send({ to: open })).toMatchObject({ ok: true });
  expect(await send({ to: open, secret: "guess" })).toMatchObject({ status: 401 });
});

test("a secret that was changed a moment ago is found", async () => {
  await send({ secret: "clinic secret" });
  secrets["clinic"] = "new secret";
  clock.advance(1_500);
  expect(await send({ secret: "new secret" })).toMatchObject({ ok: true });
});

test("a trace that the sender began goes on", async () => {
  await send({
    secret: "gateway secret",
    headers: { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" },
  });
  expect(events[0]?.traceId).toBe("0af7651916cd43dd8448eb211c80319c");
});

test("a lost connection is a warning", async () => {
  await send({
    secret: "gateway secret",
    body: { event: "connection.update", channel: "clinic", data: { state: "disconnected" } },
  });
  expect(log.lines.map(({ message: line }) => line)).toContain("WhatsApp channel lost its connection");
});

test("a deferred answer waits for the processing, and asks to come back when it takes long", async () => {
  const deferring = make({ deferRead: { events: { load: async () => ({ status }) as never } } });
  const late = send({ to: deferring, secret: "gateway secret" });
  for (let step = 0; step < 30; step++) {
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(100);
  }
  expect(await late).toMatchObject({ status: 503, code: "not_processed_yet" });
  status = "processed";
  expect(await send({ to: deferring, secret: "gateway secret" })).toEqual({ ok: true, events: 1 });
  expect(clock.pending).toBe(0);
});

test("secrets appear in no line of the log", async () => {
  await send({ secret: "guess" });
  await send({ channel: "clinic", secret: "clinic secret" });
  expect(JSON.stringify(log.lines)).not.toMatch(/guess|clinic secret/);
});
