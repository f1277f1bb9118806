import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Channel } from "#core/channel/channel.ts";
import { PonteError } from "#core/error.ts";
import { isMessage, type NewEvent } from "#core/event/event.ts";
import type { OutgoingMessage } from "#core/message/message.ts";
import { systemClock } from "#engine/system-clock.ts";
import type { ChannelDirectoryPort } from "#router/ports.ts";
import type { GatewayFault } from "#sandbox/wpp/faults.ts";
import type { Forgery } from "#sandbox/wpp/forgery.ts";
import type { GatewayModes } from "#sandbox/wpp/modes.ts";
import type { Visibility } from "#sandbox/wpp/phone.ts";
import { card, choice, location, media, notice, reaction, type Said, text } from "#sandbox/wpp/said.ts";
import { GATEWAY_SECRET, Hook, type RunningGateway, startGateway } from "#test/support/gateway.ts";
import { quietLog } from "#test/support/quiet-log.ts";
import { WppGatewayClient } from "#wpp/gateway-client.ts";
import { Onboarding } from "#wpp/onboarding.ts";
import { WppSender } from "#wpp/sender.ts";
import { GatewayWebhook } from "#wpp/webhook.ts";

/** The gateway edge with everything that it talks to outside, and a directory and an intake in memory. */

const TENANT = "tenant-1";
const BUSINESS = "5511900000000";
const ANA = "5511987654321";

let running: RunningGateway;
let hook: Hook;
let client: WppGatewayClient;
let onboarding: Onboarding;
let sender: WppSender;
let events: NewEvent[];
let storeIsDown: boolean;
/** Refusals of the webhook, by code. */
let refused: string[];

function directory(): ChannelDirectoryPort {
  const rows = new Map<string, Channel>();
  const secrets = new Map<string, string>();
  const find = (channelId: string) => [...rows.values()].find((row) => row.channelId === channelId);
  return {
    find: async (_, channelId) => find(channelId),
    get: async (tenantId, id) => (rows.get(id)?.tenantId === tenantId ? rows.get(id) : undefined),
    list: async (tenantId) => [...rows.values()].filter((row) => row.tenantId === tenantId),
    put: async (channel) => {
      const known = find(channel.channelId);
      const fresh = { id: `row-${rows.size + 1}`, webhookConfigured: false, metadata: {}, createdAt: 1, updatedAt: 1 };
      const row = { ...fresh, ...known, ...channel };
      rows.set(row.id, row);
      return row;
    },
    change: async (id, change, was) => {
      const row = rows.get(id);
      if (row === undefined || (was !== undefined && row.state !== was)) return undefined;
      rows.set(id, { ...row, ...change });
      return rows.get(id);
    },
    secret: async (id) => secrets.get(id),
    keepSecret: async (id, secret) => {
      if (!secrets.has(id)) secrets.set(id, secret);
      return secrets.get(id);
    },
    remove: async (_, id) => rows.delete(id),
  };
}

beforeEach(async () => {
  [events, refused, storeIsDown] = [[], [], false];
  running = await startGateway();
  hook = new Hook();
  await hook.start();
  const [channels, log, clock] = [directory(), quietLog(), systemClock];
  let made = 0;
  const randomBytes = (count: number) => {
    made += 1;
    return new Uint8Array(count).fill(made);
  };
  const intake = {
    accept: async (event: NewEvent) => {
      if (storeIsDown) throw new PonteError("store_unavailable", "the store is down", { retryable: true });
      const known = events.find(({ externalId, type }) => externalId === event.externalId && type === event.type);
      if (known === undefined) events.push(event);
      const { eventId, traceId } = known ?? event;
      return { eventId, traceId, duplicate: known !== undefined, conflict: false };
    },
  };
  const shared = { intake, channels, clock, log, randomBytes };
  client = new WppGatewayClient({
    baseUrl: running.url,
    secret: GATEWAY_SECRET,
    requestTimeoutMs: 5_000,
    clock,
    log,
    random: () => 0,
  });
  sender = new WppSender({ client, clock });
  onboarding = new Onboarding({
    ...shared,
    gateway: client,
    events: { unpark: async () => 0 },
    webhookUrl: hook.url,
    channelsPerTenant: 1,
  });
  const webhook = new GatewayWebhook({ ...shared, secrets: [], secretRequired: true });
  hook.answer = async ({ url, headers, body }) => {
    const channel = url.split("/")[2];
    const answer = await webhook.receive({ headers, body: Buffer.from(body), ...(channel && { channel }) });
    if (!answer.ok) refused.push(answer.code);
    return answer.ok ? 200 : answer.status;
  };
});

afterEach(async () => {
  client.stop();
  await running.gateway.stop();
  await hook.stop();
});

/** Enabled, scanned, and its webhook set, by our own API. */
async function connected(modes: Partial<GatewayModes> = {}): Promise<Channel> {
  const { gateway } = running;
  gateway.modes = { ...gateway.modes, ...modes };
  const enabled = await onboarding.enable(TENANT, { channelId: "clinic" });
  if (!enabled.ok) throw new Error(enabled.message);
  gateway.connect("clinic", BUSINESS);
  const now = await onboarding.refresh(TENANT, enabled.value.id);
  if (!now.ok) throw new Error(now.message);
  return now.value;
}

const ofType = (type: string): NewEvent[] => events.filter((event) => event.type === type);
const messages = (): NewEvent[] => events.filter(({ type }) => isMessage(type));

describe("onboarding", () => {
  test.each([
    ["plain", "data_url"],
    ["plain", "base64"],
    ["plain", "text"],
    ["plain", "bare_text"],
    ["wrapped", "data_url"],
    ["wrapped", "base64"],
    ["wrapped", "text"],
  ] as const)("from nothing to connected, with %s answers and the code as %s", async (answers, qr) => {
    const { gateway } = running;
    gateway.modes = { ...gateway.modes, answers, qr };
    const enabled = await onboarding.enable(TENANT, { channelId: "clinic", name: "Clínica" });
    expect(enabled).toMatchObject({ ok: true, value: { state: "qr", webhookConfigured: false } });
    const id = enabled.ok ? enabled.value.id : "";
    const code = await onboarding.qr(TENANT, id);
    if (!code.ok) throw new Error(code.message);
    const { text: readable, image } = code.value;
    if (readable === undefined) {
      expect(image).toMatch(/^data:image\/png;base64,iVBORw0KGgo/);
      gateway.connect("clinic", BUSINESS);
    } else expect(gateway.scan(readable, BUSINESS)).toBe(true);

    const now = await onboarding.refresh(TENANT, id);
    expect(now).toMatchObject({ ok: true, value: { state: "connected", phone: BUSINESS, webhookConfigured: true } });
    expect(await onboarding.qr(TENANT, id)).toMatchObject({ ok: false, code: "already_connected" });
    expect(await gateway.phone(ANA).say("olá").taken).toBe(true);
    expect(messages()).toMatchObject([
      { tenantId: TENANT, channelId: "clinic", payload: { content: { text: "olá" } } },
    ]);
  });

  test("again and again it is the same channel, and a loss is told", async () => {
    const channel = await connected();
    expect(await onboarding.enable(TENANT, { channelId: "clinic" })).toMatchObject({
      ok: true,
      value: { id: channel.id },
    });
    running.gateway.disconnect("clinic");
    await running.gateway.idle();
    expect(ofType("whatsapp.connection.update").at(-1)).toMatchObject({ payload: { state: "disconnected" } });
    expect(await onboarding.refresh(TENANT, channel.id)).toMatchObject({ ok: true, value: { state: "disconnected" } });
    expect(await onboarding.qr(TENANT, channel.id)).toMatchObject({ ok: true });
  });
});

const picture = media({ type: "image", mimetype: "image/jpeg", caption: "veja", sizeBytes: 9 });
const voice = media({ type: "ptt", mimetype: "audio/ogg; codecs=opus", seconds: 7 });

describe.each(["nested", "flat"] as const)("messages in %s webhooks", (envelope) => {
  test.each<[string, Said, object]>([
    ["a text of two lines", text("olá\n👋"), { type: "text", text: "olá\n👋" }],
    ["a picture", picture, { type: "image", mime_type: "image/jpeg", caption: "veja", size_bytes: 9 }],
    ["a voice message", voice, { type: "voice", duration_s: 7 }],
    ["a place", location(-23.55, -46.63, "Sé"), { type: "location", latitude: -23.55, longitude: -46.63, name: "Sé" }],
    [
      "a card",
      card("Rui", "351912345678"),
      { type: "contacts", contacts: [{ name: "Rui", phones: ["+351912345678"] }] },
    ],
    ["a reaction", reaction("👍", "true_x"), { type: "reaction", emoji: "👍", message_id: "true_x" }],
    ["a choice", choice("r1", "Sim"), { type: "reply", id: "r1", title: "Sim" }],
    ["a kind that nobody knows", { type: "hologram" }, { type: "unsupported", kind: "hologram" }],
  ])("%s", async (_name, said, content) => {
    await connected({ envelope });
    const typed = running.gateway.phone(ANA, { name: "Ana" }).send(said, { quoted: "true_q" });
    expect(await typed.taken).toBe(true);
    expect(messages()).toHaveLength(1);
    expect(messages()[0]).toMatchObject({
      externalId: `clinic/${typed.id}`,
      payload: {
        message_id: typed.id,
        from: { phone: ANA, name: "Ana" },
        chat: { kind: "direct" },
        from_me: false,
        reply_to: "true_q",
        content,
      },
    });
    expect(typed.seen).toBe(true);
  });

  test.each<[Visibility, readonly string[]]>([
    ["number", ["phone"]],
    ["lid", ["lid"]],
    ["lid_and_number", ["phone", "lid"]],
  ])("a person who shows as %s", async (visibility, known) => {
    await connected({ envelope });
    const ana = running.gateway.phone(ANA, { visibility });
    await ana.say("olá").taken;
    const all = { phone: ANA, lid: ana.lid };
    const shown = Object.fromEntries(Object.entries(all).filter(([kind]) => known.includes(kind)));
    expect(messages().map(({ payload }) => payload["from"])).toEqual([shown]);
  });

  test("a group, and what was written on the business's own phone", async () => {
    await connected({ envelope });
    const { gateway } = running;
    const ana = gateway.phone(ANA);
    const group = gateway.group("Família", [ana]);
    await ana.say("oi", { group: group.id }).taken;
    const own = gateway.writeOnBusinessPhone("clinic", ANA, "de viva voz");
    await gateway.idle();
    expect(messages()).toMatchObject([
      {
        type: "whatsapp.inbound.message",
        payload: { chat: { kind: "group", id: group.id, name: "Família" }, from: { phone: ANA } },
      },
      {
        type: "whatsapp.outbound.message",
        payload: { message_id: own, from_me: true, from: { phone: ANA }, content: { text: "de viva voz" } },
      },
    ]);
  });

  test("a notice of WhatsApp is taken, and is nobody's message", async () => {
    await connected({ envelope });
    expect(await running.gateway.phone(ANA).send(notice("e2e_notification")).taken).toBe(true);
    expect(messages()).toEqual([]);
  });
});

describe("what goes wrong on the way in", () => {
  test("twice, late and out of order: each message is one event, with its own time", async () => {
    await connected({ duplicates: 2, order: "none" });
    await running.gateway.idle();
    const ana = running.gateway.phone(ANA);
    hook.answers.push(500);
    const typed = [ana.say("um"), ana.say("dois"), ana.say("três")];
    expect(await Promise.all(typed.map(({ taken }) => taken))).toEqual([true, true, true]);
    await running.gateway.idle();
    expect(hook.requests.filter(({ body }) => body.includes('"event":"message"'))).toHaveLength(10);
    expect(new Set(messages().map(({ payload }) => payload["message_id"]))).toEqual(new Set(typed.map(({ id }) => id)));
    expect(messages()).toHaveLength(3);
  });

  test("nothing is marked as read before it is stored, and the gateway brings it again", async () => {
    await connected();
    await running.gateway.idle();
    hook.requests.length = 0;
    storeIsDown = true;
    const answered = hook.answer;
    hook.answer = async (request) => {
      const status = await answered(request);
      if (hook.requests.length === 2) storeIsDown = false;
      return status;
    };
    const typed = running.gateway.phone(ANA).say("olá");
    expect(await typed.taken).toBe(true);
    expect(running.gateway.log.webhooks("message").map(({ status }) => status)).toEqual([503, 503, 200]);
    expect(typed.seen).toBe(true);
    expect(messages()).toHaveLength(1);
  });

  test("an HMAC in the place of the secret is as good", async () => {
    await connected({ proof: "hmac" });
    expect(await running.gateway.phone(ANA).say("olá").taken).toBe(true);
    expect(messages()).toHaveLength(1);
  });

  test.each<[Forgery, number, number]>([
    ["empty", 400, 0],
    ["not_json", 400, 0],
    ["truncated", 400, 0],
    ["too_deep", 400, 0],
    ["oversized", 413, 0],
    ["wrong_types", 400, 0],
    ["unknown_event", 200, 0],
    ["wrong_secret", 401, 0],
    ["no_secret", 401, 0],
    ["other_channel", 200, 1],
  ])("a forged webhook, %s: %i", async (kind, status, stored) => {
    await connected();
    await running.gateway.idle();
    expect(await running.gateway.forge("clinic", kind)).toBe(status);
    expect(messages()).toHaveLength(stored);
    // The channel of the path counts, whatever the body says.
    for (const message of messages()) expect(message).toMatchObject({ channelId: "clinic", tenantId: TENANT });
    expect(refused).toHaveLength(status === 200 ? 0 : 1);
  });
});

describe("messages out", () => {
  const order = (idempotencyKey: string, content: OutgoingMessage["content"] = { type: "text", text: "olá" }) =>
    sender.send(
      {
        id: "m1",
        tenantId: TENANT,
        provider: "wpp_gateway",
        channelId: "clinic",
        to: [{ kind: "phone", value: ANA, address: ANA }],
        content,
        idempotencyKey,
      },
      systemClock.now() + 5_000,
    );

  test.each(["plain", "wrapped"] as const)("arrive, and their acks name them, with %s answers", async (answers) => {
    await connected({ answers });
    const ana = running.gateway.phone(ANA);
    ana.keepOpen();
    const outcome = await order("k1");
    expect(outcome).toMatchObject({ ok: true });
    await running.gateway.idle();
    expect(ana.texts()).toEqual(["olá"]);
    const id = outcome.ok ? outcome.providerMessageId : "";
    const acks = ofType("whatsapp.delivery.ack").map(({ payload }) => [payload["message_id"], payload["status"]]);
    expect(acks).toEqual([
      [id, "sent"],
      [id, "delivered"],
      [id, "read"],
    ]);
  });

  test("a number that WhatsApp refuses fails by its ack", async () => {
    await connected();
    running.gateway.block(running.gateway.phone(ANA));
    expect(await order("k1")).toMatchObject({ ok: true });
    await running.gateway.idle();
    expect(ofType("whatsapp.delivery.ack")).toMatchObject([{ payload: { status: "failed", error: {} } }]);
  });

  const lost = { kind: "answer_lost" } as const;
  test.each<[string, GatewayFault, { retryable?: boolean; uncertain: boolean }, number]>([
    [
      "a gateway that is busy",
      { kind: "error", status: 429, retryAfterS: 2 },
      { retryable: true, uncertain: false },
      0,
    ],
    ["a gateway that is not ready", { kind: "error", status: 503 }, { retryable: true, uncertain: false }, 0],
    ["a refusal", { kind: "error", status: 400 }, { retryable: false, uncertain: false }, 0],
    ["a proxy's page", { kind: "error", status: 502, text: "<html>" }, { uncertain: true }, 0],
    ["an answer that is lost", lost, { uncertain: true }, 1],
    ["a request that is lost", { kind: "request_lost" }, { uncertain: true }, 0],
  ])("%s is told for what it is, and nothing is sent twice", async (_name, fault, failure, arrived) => {
    await connected();
    const ana = running.gateway.phone(ANA);
    running.gateway.faults.next("send", fault);
    expect(await order("k1")).toMatchObject({ ok: false, failure });
    expect(ana.texts()).toHaveLength(arrived);
    expect(running.gateway.log.requests("send")).toHaveLength(1);
    expect(running.gateway.outbox.repeated()).toEqual([]);
  });

  test("a phone that is away and a gateway that is down are certain not to have sent it", async () => {
    await connected();
    running.gateway.phone(ANA);
    running.gateway.disconnect("clinic");
    const away = { code: "channel_disconnected", retryable: true, uncertain: false };
    expect(await order("k1")).toMatchObject({ ok: false, failure: away });
    running.gateway.connect("clinic", BUSINESS);
    await running.gateway.goDown();
    const down = { code: "unreachable", retryable: true, uncertain: false };
    expect(await order("k1")).toMatchObject({ ok: false, failure: down });
    await running.gateway.comeBack();
    expect(await order("k1")).toMatchObject({ ok: true });
    expect(running.gateway.outbox.counts()).toEqual(new Map([["k1", 1]]));
  });
});
