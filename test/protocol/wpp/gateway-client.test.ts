import { afterEach, beforeEach, expect, test } from "vitest";
import { FakeClock } from "#test/support/fake-clock.ts";
import { quietLog } from "#test/support/quiet-log.ts";
import { WppGatewayClient } from "#wpp/gateway-client.ts";
import { WppSender } from "#wpp/sender.ts";
import type { Behaviour } from "./fake-gateway.ts";
import { FakeGateway, hangUp, json, raw } from "./fake-gateway.ts";

let gateway: FakeGateway;
let clock: FakeClock;
let client: WppGatewayClient;
let url: string;
let log: ReturnType<typeof quietLog>;

function make(baseUrl = url): WppGatewayClient {
  return new WppGatewayClient({ baseUrl, secret: "gw-secret", requestTimeoutMs: 5_000, clock, log, random: () => 0.5 });
}

beforeEach(async () => {
  gateway = new FakeGateway();
  clock = new FakeClock();
  log = quietLog();
  url = await gateway.start();
  client = make();
});

afterEach(async () => {
  client.stop();
  await gateway.stop();
  expect(clock.pending).toBe(0);
});

/** Moves the clock over the pauses until the answer is there. */
async function passing<T>(answer: Promise<T>): Promise<T> {
  let done = false;
  void answer.then(() => (done = true));
  const look = () => {
    if (!done) clock.advance(50);
    return done;
  };
  await expect.poll(look).toBe(true);
  return answer;
}

test("every request shows the secret, and paths are escaped", async () => {
  gateway.script = [json(200, { id: "a/b", status: "CONNECTED", phone: "551155501000@c.us" })];
  expect(await client.channel("a/b")).toEqual({
    ok: true,
    value: { channelId: "a/b", state: "connected", word: "CONNECTED", phone: "551155501000" },
  });
  expect(gateway.seen).toMatchObject([
    { method: "GET", path: "/api/channels/a%2Fb", headers: { "x-gateway-secret": "gw-secret" } },
  ]);
});

test.each([
  [{ channel: { id: "c", status: "qr" } }, "qr"],
  [{ data: { name: "c", state: "connecting" } }, "connecting"],
  [{ success: true, session: "c", status: "inChat" }, "connected"],
  [{ channel: "c", connected: true }, "connected"],
  [{ channel: "c", status: "CLOSED" }, "disconnected"],
  [{ channel: "c", status: "dancing" }, undefined],
])("reads the channel %j as %s", async (answer, state) => {
  gateway.script = [json(200, answer)];
  expect(await client.channel("c")).toMatchObject({ ok: true, value: { channelId: "c", ...(state && { state }) } });
});

test.each([
  [[{ id: "a" }, { name: "b", status: "open" }]],
  [{ channels: [{ id: "a" }, { channel: "b", status: "open" }] }],
  [{ data: ["a", { session: "b", state: "connected" }] }],
])("lists channels: %j", async (answer) => {
  gateway.script = [json(200, answer)];
  expect(await client.channels()).toMatchObject({
    ok: true,
    value: [{ channelId: "a" }, { channelId: "b", state: "connected" }],
  });
});

test("a channel that exists already is as good as a new one", async () => {
  gateway.script = [json(409, { error: "exists" }), json(200, { channel: "c", status: "qr" })];
  expect(await client.createChannel("c", "Clinic")).toMatchObject({ ok: true, value: { state: "qr" } });
  expect(gateway.seen[0]?.body).toEqual({ channel: "c", name: "Clinic" });
});

const png = Buffer.from("iVBORw0KGgoAAAANSUhEUg==", "base64");
const picture = `data:image/png;base64,${png.toString("base64")}`;
const words = "2@qkZ0xO7bQ3FvYw==,Zm9v,YmFy,1";

test.each<[string, Behaviour, unknown]>([
  ["bytes of a picture", raw(200, "image/png", png), { image: picture }],
  ["a data URL", json(200, { qr: picture }), { image: picture }],
  ["a data URL as text", raw(200, "text/plain", picture), { image: picture }],
  ["bare base64", json(200, { qrcode: png.toString("base64") }), { image: picture }],
  ["text in JSON", json(200, { data: { code: words } }), { text: words }],
  ["bare text", raw(200, "text/plain", `${words}\n`), { text: words }],
  ["both", json(200, { status: "QRCODE", urlcode: words, qrcode: picture }), { text: words, image: picture }],
  ["none yet", json(200, { qr: null, status: "starting" }), undefined],
  ["a page", raw(200, "text/html", "<html><body>a_long_page_without_spaces</body></html>"), undefined],
  ["404", json(404, { error: "no qr" }), undefined],
  ["409", json(409, { error: "connected" }), undefined],
])("QR code as %s", async (_, behave, value) => {
  gateway.script = [behave];
  expect(await client.qr("c")).toEqual({ ok: true, value });
});

test("what can be repeated is repeated after 5xx and hang-ups", async () => {
  gateway.script = [json(502, {}), hangUp, json(200, { ok: true })];
  expect(await passing(client.setWebhook("c", { url: "https://p/x", secret: "s" }))).toEqual({ ok: true, value: true });
  expect(gateway.seen).toHaveLength(3);
  expect(gateway.seen[0]?.body).toEqual({
    url: "https://p/x",
    secret: "s",
    events: ["message", "message.ack", "connection.update"],
  });
});

test("and given up at some time", async () => {
  gateway.script = [json(500, { error: { message: "boom" } })];
  expect(await passing(client.channels())).toMatchObject({
    ok: false,
    failure: { code: "gateway_error", message: "boom", retryable: true },
  });
  expect(gateway.seen).toHaveLength(3);
});

const message = { channelId: "c", to: "5511987654321@c.us", text: "Oi", idempotencyKey: "key-1" };

test("a message goes out once, with its key", async () => {
  gateway.script = [json(200, { id: "true_x" })];
  expect(await client.send({ ...message, replyTo: "false_y" })).toEqual({ ok: true, value: "true_x" });
  expect(gateway.seen).toMatchObject([
    {
      path: "/api/messages",
      headers: { "idempotency-key": "key-1" },
      body: {
        channel: "c",
        to: "5511987654321@c.us",
        type: "text",
        text: "Oi",
        reply_to: "false_y",
        idempotency_key: "key-1",
      },
    },
  ]);
});

test.each([
  [{ messageId: "m" }],
  [{ data: { message_id: "m" } }],
  [{ message: { id: { _serialized: "m" } } }],
  [{ status: "success", response: [{ id: "m" }] }],
  [{ key: { id: "m" } }],
])("finds the id in %j", async (answer) => {
  gateway.script = [json(201, answer)];
  expect(await client.send(message)).toEqual({ ok: true, value: "m" });
});

test.each<[string, Behaviour, object]>([
  ["a hang-up", hangUp, { code: "unreachable", retryable: true, uncertain: true }],
  ["500", json(500, {}), { code: "gateway_error", retryable: true, uncertain: true }],
  [
    "503",
    json(503, {}, { "retry-after": "7" }),
    { code: "gateway_error", retryable: true, uncertain: false, retryAfterMs: 7_000 },
  ],
  [
    "500 of a lost phone",
    json(500, { message: "Session not connected" }),
    { code: "disconnected", retryable: true, uncertain: false },
  ],
  ["429", json(429, {}), { code: "rate_limited", retryable: true, uncertain: false }],
  ["401", json(401, { message: "bad gw-secret" }), { code: "unauthorised", retryable: false, message: "bad [secret]" }],
  [
    "400",
    json(400, { error: "no such number" }),
    { code: "refused", retryable: false, uncertain: false, message: "no such number" },
  ],
  ["a refusal with 200", json(200, { success: false, message: "no" }), { code: "refused", retryable: false }],
  ["200 without an id", json(200, { ok: true }), { code: "not_understood", retryable: false, uncertain: true }],
  ["a redirection", raw(302, "text/plain", ""), { code: "refused", retryable: false }],
])("a message that meets %s is not repeated here", async (_, behave, failure) => {
  gateway.script = [behave];
  expect(await client.send(message)).toMatchObject({ ok: false, failure });
  expect(gateway.seen).toHaveLength(1);
});

test("a gateway that nobody listens for has certainly not sent it", async () => {
  await gateway.stop();
  expect(await client.send(message)).toMatchObject({
    ok: false,
    failure: { code: "unreachable", uncertain: false, retryable: true },
  });
  gateway = new FakeGateway();
  await gateway.start();
});

test("silence ends at the time limit, and then nobody knows", async () => {
  gateway.script = [() => undefined];
  const sending = client.send(message);
  await expect.poll(() => gateway.seen.length).toBe(1);
  clock.advance(5_000);
  expect(await sending).toMatchObject({ ok: false, failure: { code: "unreachable", uncertain: true } });
});

test("the log has no secret", async () => {
  gateway.script = [json(401, { message: "bad gw-secret" })];
  await client.send(message);
  expect(log.lines.length).toBeGreaterThan(0);
  expect(JSON.stringify(log.lines)).not.toContain("gw-secret");
});

const outgoing = {
  id: "u",
  tenantId: "t",
  provider: "wpp_gateway",
  channelId: "c",
  to: [
    { kind: "bsuid", value: "BR.1", address: "BR.1" },
    { kind: "phone", value: "5511987654321", address: "551187654321" },
  ],
  content: { type: "text", text: "Oi" },
  idempotencyKey: "k",
} as const;

test("the sender takes the first address that the gateway knows, in the form that WhatsApp gave", async () => {
  gateway.script = [json(200, { id: "m" })];
  expect(await new WppSender({ client, clock }).send(outgoing, clock.now() + 5_000)).toEqual({
    ok: true,
    providerMessageId: "m",
  });
  expect(gateway.seen[0]?.body).toMatchObject({ to: "551187654321@c.us" });
});

test("what cannot be sent is refused without asking", async () => {
  const sender = new WppSender({ client, clock });
  const later = clock.now() + 5_000;
  expect(await sender.send({ ...outgoing, to: [outgoing.to[0]] }, later)).toMatchObject({
    failure: { code: "unknown_recipient", retryable: false },
  });
  const template = { type: "template", name: "x", language: "pt_BR" } as const;
  expect(await sender.send({ ...outgoing, content: template }, later)).toMatchObject({
    failure: { code: "template_unsupported" },
  });
  expect(await sender.send(outgoing, clock.now())).toMatchObject({
    failure: { code: "timeout", retryable: true, uncertain: false },
  });
  expect(gateway.seen).toEqual([]);
  gateway.script = [json(404, {})];
  expect(await sender.send({ ...outgoing, content: { ...template, fallback_text: "Oi" } }, later)).toMatchObject({
    failure: { code: "not_found", hint: expect.stringContaining("connect") },
  });
});
