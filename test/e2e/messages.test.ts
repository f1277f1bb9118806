import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Phone } from "#sandbox/wpp/phone.ts";
import { BUSINESS, MessageWorld, type Row } from "#test/support/messages.ts";
import { eventually } from "#test/support/world.ts";

let it: MessageWorld;
let channel: Row;

beforeAll(async () => {
  it = await MessageWorld.start({ settings: { wpp: { channels_per_tenant: 2 } } });
  channel = await it.onboard("Front desk");
});

afterAll(async () => {
  // What the log is searched for.
  expect(it.said()).toContain("Bom dia! Vocês abrem hoje?");
  await it.stop();
});

let people = 0;

/** Somebody whom no other test knows. */
function somebody(name: string): Phone {
  people += 1;
  return it.gateway.phone(`55119870000${String(people).padStart(2, "0")}`, { name });
}

const textOf = (message: Row | undefined): unknown => (message?.["content"] as Row | undefined)?.["text"];

const arrives = (phone: Phone, text: string) =>
  eventually(`“${text}” on the phone`, async () => (phone.texts().includes(text) ? true : { missing: phone.texts() }));

describe("a number of the gateway", () => {
  test("is connected by scanning the code, and its webhook leads to us", async () => {
    expect(channel).toMatchObject({
      provider: "wpp_gateway",
      name: "Front desk",
      state: "connected",
      phone: BUSINESS,
      enabled: true,
      webhook_configured: true,
    });
    const events = await eventually("the event", async () => {
      const list = await it.list("/v1/event-log?type=whatsapp.connection.update", "events");
      return list.length > 0 ? list : undefined;
    });
    expect(events.at(-1)).toMatchObject({ channel_id: channel["channel_id"] });
    const again = await it.api("GET", `/v1/channels/${channel["id"]}/qr`);
    expect(again).toMatchObject({ status: 409, body: { error: { code: "already_connected" } } });
  });

  test("brings what people write to the inbox, and takes the answer to their phones", async () => {
    const ana = somebody("Ana");
    const first = ana.say("Bom dia! Vocês abrem hoje?");
    expect(await first.taken).toBe(true);
    expect(await it.conversation("Bom dia! Vocês abrem hoje?")).toMatchObject({
      unread: 1,
      channel: channel["id"],
      contact: { name: "Ana" },
    });
    await ana.say("Alô?").taken;
    const { id } = await it.conversation("Alô?");
    expect(await it.ask("GET", `/v1/conversations/${id}`)).toMatchObject({ unread: 2, state: "open" });
    expect(await it.ask("PATCH", `/v1/conversations/${id}`, { read: true })).toMatchObject({ unread: 0 });

    ana.goOffline();
    const reply = { content: { type: "text", text: "Sim, até as 18 h." } };
    const sent = await it.ask("POST", `/v1/conversations/${id}/messages`, reply);
    expect(sent).toMatchObject({ direction: "out", author: expect.any(String) });
    expect(await it.message(id, sent["id"], "sent")).toMatchObject({ provider_message_id: expect.any(String) });
    expect(ana.texts()).toEqual([]);
    ana.goOnline();
    await it.message(id, sent["id"], "delivered");
    expect(ana.texts()).toEqual(["Sim, até as 18 h."]);
    ana.read();
    const read = await it.message(id, sent["id"], "read");
    expect(read).toMatchObject({ sent_at: expect.any(String), delivered_at: expect.any(String) });
    const messages = await it.list(`/v1/conversations/${id}/messages`, "messages");
    expect(messages.map(textOf)).toEqual(["Sim, até as 18 h.", "Alô?", "Bom dia! Vocês abrem hoje?"]);
  });

  test("that echoes what is sent is not answered for its own answers, nor for what somebody writes on its phone", async () => {
    const { modes } = it.gateway;
    it.gateway.modes = { ...modes, echoesSends: true };
    const content = { type: "text", text: "Eco: {{payload.content.text}}" };
    const parrot = await it.ask("POST", "/v1/rules", {
      name: "Parrot",
      priority: 1,
      event_type: "whatsapp.*",
      on_match: "continue",
      condition: 'event.type.endsWith(".message")',
      actions: [{ type: "send_message", content }],
    });
    const rui = somebody("Rui");
    await rui.say("Oi").taken;
    await arrives(rui, "Eco: Oi");
    it.gateway.writeOnBusinessPhone(String(channel["channel_id"]), rui.number, "Já te ligo");
    await arrives(rui, "Já te ligo");
    await it.quiet();
    expect(rui.texts()).toEqual(["Eco: Oi", "Já te ligo"]);
    const { id } = await it.conversation("Já te ligo");
    const shown = await it.list(`/v1/conversations/${id}/messages`, "messages");
    expect(shown.map(textOf).toSorted()).toEqual(["Eco: Oi", "Já te ligo", "Oi"]);
    expect(await it.list("/v1/event-log?type=whatsapp.outbound.message&status=dead", "events")).toEqual([]);
    it.gateway.modes = modes;
    await it.request("DELETE", `/v1/rules/${parrot["id"]}`, undefined, { authorization: `Bearer ${it.apiKey}` });
  });

  test("can have as many beside it as are configured", async () => {
    const second = await it.ask("POST", "/v1/channels", { channel_id: "second" });
    expect(await it.api("POST", "/v1/channels", { channel_id: "third" })).toMatchObject({
      status: 409,
      body: { error: { code: "channel_exists", hint: expect.stringContaining("wpp.channels_per_tenant") } },
    });
    // The rules of the next tests send over the only one that is enabled.
    expect(await it.ask("POST", `/v1/channels/${second["id"]}/disable`)).toMatchObject({ enabled: false });
  });

  test("that loses its connection says so, and brings what was written meanwhile when it is back", async () => {
    const state = (wanted: string) =>
      eventually(`the channel to be ${wanted}`, async () => {
        const now = await it.ask("GET", `/v1/channels/${channel["id"]}`);
        return now["state"] === wanted ? now : { missing: now };
      });
    const beto = somebody("Beto");
    const name = String(channel["channel_id"]);
    it.gateway.disconnect(name);
    await state("disconnected");
    expect(
      it.world.log.lines().some(({ level, msg }) => level === "warn" && /lost its connection/.test(`${msg}`)),
    ).toBe(true);
    const { taken } = beto.say("Tem alguém aí?");
    it.gateway.connect(name, BUSINESS);
    await state("connected");
    expect(await taken).toBe(true);
    expect(await it.conversation("Tem alguém aí?")).toMatchObject({ unread: 1, contact: { name: "Beto" } });
  });
});

describe("a business number of the Cloud API", () => {
  const carla = { number: "5511912340001", profileName: "Carla Cloud", userId: "BR.134912086553029001" };

  test("brings messages to the same inbox, and answers go out through Graph", async () => {
    const { meta } = it.world;
    const number = it.world.number("support");
    expect(await meta.messages.say(carla, number, "Olá pela nuvem").taken).toBe(true);
    const { id, ...conversation } = await it.conversation("Olá pela nuvem");
    expect(conversation).toMatchObject({ provider: "cloud_api", channel_id: number, unread: 1 });

    const reply = { content: { type: "text", text: "Olá, Carla!" } };
    const { id: message } = await it.ask("POST", `/v1/conversations/${id}/messages`, reply);
    await it.message(id, message, "delivered");
    const [sent, ...others] = meta.messages.sent().filter(({ to }) => to === carla.number);
    expect(sent).toMatchObject({ type: "text", text: "Olá, Carla!", phoneNumberId: number });
    expect(others).toEqual([]);
    expect(await meta.messages.read(sent?.id ?? "")).toBe(true);
    await it.message(id, message, "read");
  });

  test("tells why a message to somebody who never wrote has failed, and templates arrive", async () => {
    const [cloud] = (await it.list("/v1/channels", "channels")).filter(({ provider }) => provider === "cloud_api");
    const write = (content: object) =>
      it.ask("POST", "/v1/messages", { phone: "+55 11 91234-0002", channel: cloud?.["id"], content });
    const free = await write({ type: "text", text: "Oferta!" });
    const failed = await it.message(free["conversation_id"], free["id"], "failed");
    expect(failed["error"]).toMatchObject({ code: expect.stringMatching(/131047|window_closed/) });
    const template = await write({ type: "template", name: "welcome", language: "pt_BR" });
    await it.message(template["conversation_id"], template["id"], "delivered");
  });
});

describe("events of internal systems", () => {
  const overdue = (phone: Phone, id: string, more: Row = {}) => ({
    event_type: "billing.invoice.overdue",
    source_system: "billing",
    external_id: id,
    payload: {
      customer: { name: "Dora", phone: `+${phone.number}` },
      invoice: { id, due_date: "10/11/2026", amount: 180, ...more },
    },
  });
  const text = (id: string) =>
    `Olá, Dora! A fatura ${id} venceu em 10/11/2026. Se já pagou, desconsidere esta mensagem.`;

  test("an overdue invoice is told to the customer once, however often it is sent", async () => {
    const dora = somebody("Dora");
    const first = await it.tell(overdue(dora, "F-1"));
    expect(first).toMatchObject({ status: 200, body: { duplicate: false, conflict: false } });
    await arrives(dora, text("F-1"));
    const eventId = first.body["event_id"];
    expect(await it.settled(eventId)).toMatchObject({
      event: { status: "processed", trace_id: first.body["trace_id"] },
      effects: [{ kind: "send_message", state: "done" }],
    });

    const again = await Promise.all(Array.from({ length: 5 }, () => it.tell(overdue(dora, "F-1"))));
    for (const { status, body } of again) {
      expect([status, body]).toEqual([200, { ...first.body, duplicate: true, conflict: false }]);
    }
    const other = await it.tell(overdue(dora, "F-1", { amount: 9_999 }));
    expect(other).toMatchObject({ status: 200, body: { event_id: eventId, duplicate: true, conflict: true } });
    const trace = await it.settled(eventId);
    expect(trace).toMatchObject({
      event: { conflicts: 1, payload: { invoice: { amount: 180 } } },
      conflicts: [{ payload: { invoice: { amount: 9_999 } } }],
    });

    // What was sent later has arrived, so that anything else would have as well.
    await it.tell(overdue(dora, "F-2"));
    await arrives(dora, text("F-2"));
    expect(dora.texts()).toEqual([text("F-1"), text("F-2")]);
  });

  test("a payment is written down, and nobody is told", async () => {
    const emil = somebody("Emil");
    const sent = it.gateway.outbox.sent().length;
    const { status, body } = await it.tell({
      event_type: "asaas.payment.received",
      source_system: "asaas",
      payload: { id: "pay_1", customer: { phone: `+${emil.number}` } },
    });
    expect(status).toBe(200);
    expect(await it.settled(body["event_id"])).toMatchObject({
      event: { status: "processed" },
      effects: [{ kind: "log", state: "done" }],
      messages: [],
    });
    expect(it.gateway.outbox.sent().length).toBe(sent);
  });
});

describe("a missed call", () => {
  const words = "Vimos a sua ligação e não conseguimos atender. Como podemos ajudar?";

  /** Rings, and nobody answers until the caller gives up. Resolves with its event. */
  async function miss(number: string): Promise<Row> {
    const known = (await it.list("/v1/event-log?type=call.missed", "events")).length;
    const call = await it.world.call("support", { user: { number } });
    await call.ringing;
    call.hangUp();
    await call.ended;
    await it.world.story(call.wacid);
    return eventually("the event", async () => {
      const events = await it.list("/v1/event-log?type=call.missed", "events");
      return events.length > known ? events[0] : undefined;
    });
  }

  const messagesTo = (number: string) => it.world.meta.messages.sent().filter(({ to }) => to === number);

  test("brings a message when the rule is switched on, and none before", async () => {
    const rule = await it.rule("call.missed");
    expect(rule).toMatchObject({ enabled: false });
    const quiet = await it.settled((await miss("5511955550001"))["event_id"]);
    expect(quiet.effects).toEqual([]);

    const changed = await it.changeRule(rule, { enabled: true });
    expect(changed).toMatchObject({ enabled: true, version: 2 });
    const told = await it.settled((await miss("5511955550002"))["event_id"]);
    expect(told).toMatchObject({ effects: [{ kind: "send_message", state: "done" }] });
    expect(messagesTo("5511955550002")).toMatchObject([{ type: "text", text: words, arrived: true }]);
    expect(messagesTo("5511955550001")).toEqual([]);
  });
});
