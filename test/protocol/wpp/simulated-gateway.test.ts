import type { Server } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Channel } from "#core/channel/channel.ts";
import type { NewEvent } from "#core/event/event.ts";
import { systemClock } from "#engine/system-clock.ts";
import { SimulatedGateway } from "#sandbox/wpp/gateway.ts";
import { quietLog } from "#test/support/quiet-log.ts";
import { WppGatewayClient } from "#wpp/gateway-client.ts";
import { WppSender } from "#wpp/sender.ts";
import { GatewayWebhook } from "#wpp/webhook.ts";

/** The edge and the simulated gateway, both over loopback, in every style that the gateway has. */

const secret = "gateway secret";
const own = "551155501000";
const ana = "5511987654321";

let gateway: SimulatedGateway;
let client: WppGatewayClient;
let server: Server;
let events: NewEvent[];
let webhookUrl: string;

beforeEach(async () => {
  events = [];
  gateway = new SimulatedGateway({ secret, webhookTimings: { retryDelaysMs: [] } });
  const { url } = await gateway.start();
  const log = quietLog();
  client = new WppGatewayClient({
    baseUrl: url,
    secret,
    requestTimeoutMs: 5_000,
    clock: systemClock,
    log,
    random: () => 0,
  });
  const webhook = new GatewayWebhook({
    intake: {
      accept: async (event) => {
        const known = events.some(({ externalId, type }) => externalId === event.externalId && type === event.type);
        if (!known) events.push(event);
        return { eventId: event.eventId, traceId: event.traceId, duplicate: known, conflict: false };
      },
    },
    channels: { find: async () => ({ id: "c", tenantId: "t" }) as Channel, secret: async () => "hook secret" },
    secrets: [],
    secretRequired: true,
    clock: systemClock,
    log,
    randomBytes: (count) => new Uint8Array(count).fill(3),
  });
  server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const headers = request.headers as Record<string, string>;
    const answer = await webhook.receive({ channel: "clinic", headers, body: Buffer.concat(chunks) });
    response.writeHead(answer.ok ? 200 : answer.status).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  webhookUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
});

afterEach(async () => {
  client.stop();
  await gateway.stop();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const styles = [
  { answers: "plain", envelope: "nested", qr: "text", proof: "secret" },
  { answers: "wrapped", envelope: "flat", qr: "text", proof: "hmac" },
  { answers: "plain", envelope: "flat", qr: "bare_text", proof: "hmac" },
] as const;

test.each(styles)("a channel from nothing to a conversation: %j", async (modes) => {
  gateway.modes = { ...gateway.modes, ...modes };
  expect(await client.createChannel("clinic", "Clinic")).toMatchObject({
    ok: true,
    value: { channelId: "clinic", state: "qr" },
  });
  expect(await client.createChannel("clinic")).toMatchObject({ ok: true, value: { state: "qr" } });
  const code = await client.qr("clinic");
  if (!code.ok || code.value?.text === undefined) throw new Error(`no code: ${JSON.stringify(code)}`);
  expect(gateway.scan(code.value.text, own)).toBe(true);
  expect(await client.qr("clinic")).toEqual({ ok: true, value: undefined });
  expect(await client.channel("clinic")).toMatchObject({ value: { state: "connected", phone: own } });
  expect(await client.channels()).toMatchObject({ value: [{ channelId: "clinic", state: "connected" }] });
  expect(await client.setWebhook("clinic", { url: webhookUrl, secret: "hook secret" })).toEqual({
    ok: true,
    value: true,
  });

  const phone = gateway.phone(ana, { name: "Ana" });
  phone.say("Oi");
  await expect.poll(() => events.length).toBe(1);
  expect(events[0]).toMatchObject({
    type: "whatsapp.inbound.message",
    conversationKey: `wpp_gateway/clinic/phone/${ana}`,
    payload: { from: { phone: ana, name: "Ana" }, from_me: false, content: { type: "text", text: "Oi" } },
  });

  const message = {
    id: "m",
    tenantId: "t",
    provider: "wpp_gateway",
    channelId: "clinic",
    to: [{ kind: "phone", value: ana, address: ana }],
    content: { type: "text", text: "Olá Ana" },
    idempotencyKey: "k1",
  } as const;
  const sent = await new WppSender({ client, clock: systemClock }).send(message, systemClock.now() + 5_000);
  if (!sent.ok) throw new Error(sent.failure.message);
  expect(phone.texts()).toContain("Olá Ana");
  const acks = () =>
    events.filter(
      ({ type, payload }) => type === "whatsapp.delivery.ack" && payload["message_id"] === sent.providerMessageId,
    );
  await expect
    .poll(() => acks().map(({ payload }) => payload["status"]))
    .toEqual(expect.arrayContaining(["sent", "delivered"]));
  phone.read();
  await expect.poll(() => acks().map(({ payload }) => payload["status"])).toContain("read");

  gateway.disconnect("clinic");
  await expect
    .poll(() => events.at(-1))
    .toMatchObject({ type: "whatsapp.connection.update", payload: { state: "disconnected" } });
  const refused = await new WppSender({ client, clock: systemClock }).send(message, systemClock.now() + 5_000);
  expect(refused).toMatchObject({
    ok: false,
    failure: { code: "channel_disconnected", retryable: true, uncertain: false },
  });
});

test("a hidden number and the number beside it are the same person", async () => {
  gateway.addChannel("clinic", own, { url: webhookUrl, secret: "hook secret" });
  await gateway.idle();
  events.length = 0;
  gateway.phone(ana, { visibility: "lid_and_number" }).say("Oi");
  await expect.poll(() => events.length).toBe(1);
  expect(events[0]).toMatchObject({
    conversationKey: `wpp_gateway/clinic/phone/${ana}`,
    payload: { from: { phone: ana, lid: expect.any(String) } },
  });
});

test.each([
  ["not_json", 400],
  ["empty", 400],
  ["truncated", 400],
  ["too_deep", 400],
  ["oversized", 413],
  ["wrong_secret", 401],
  ["no_secret", 401],
  ["unknown_event", 200],
] as const)("forged: %s is answered %i and stores nothing", async (forgery, status) => {
  gateway.addChannel("clinic", own, { url: webhookUrl, secret: "hook secret" });
  await gateway.idle();
  events.length = 0;
  expect(await gateway.forge("clinic", forgery)).toBe(status);
  expect(events).toEqual([]);
});
