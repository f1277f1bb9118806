import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { SimulatedGateway } from "#sandbox/wpp/gateway.ts";
import type { GatewayModes } from "#sandbox/wpp/modes.ts";
import { GATEWAY_SECRET, HOOK_SECRET, Hook, type RunningGateway, startGateway } from "#test/support/gateway.ts";

let running: RunningGateway;
let hook: Hook;

beforeEach(async () => {
  running = await startGateway();
  hook = new Hook();
  await hook.start();
});

afterEach(async () => {
  await running.gateway.stop();
  await hook.stop();
});

const BUSINESS = "5511900000000";

/** A connected channel with a webhook, and a person who can write to it. */
function connect(modes: Partial<GatewayModes> = {}) {
  const { gateway } = running;
  gateway.modes = { ...gateway.modes, ...modes };
  gateway.addChannel("clinic", BUSINESS, { url: hook.url, secret: HOOK_SECRET });
  return gateway.phone("5511987654321", { name: "Ana" });
}

describe("the secret", () => {
  test.each([
    ["none", {}],
    ["a wrong one", { "x-gateway-secret": "gateway-secreT" }],
    ["a longer one", { "x-gateway-secret": `${GATEWAY_SECRET}x` }],
    ["an empty one", { "x-gateway-secret": "" }],
    ["a token", { authorization: `Bearer ${GATEWAY_SECRET}` }],
  ])("401 for %s, and nothing is done", async (_name, headers: Record<string, string>) => {
    const answer = await fetch(`${running.url}/api/channels`, {
      method: "POST",
      body: JSON.stringify({ channel: "clinic" }),
      headers: { connection: "close", ...headers },
    });
    expect(answer.status).toBe(401);
    expect(await answer.json()).toMatchObject({ error: { code: "unauthorized" } });
    expect(running.gateway.channels()).toEqual([]);
  });
});

describe("channels", () => {
  test("are made once, listed and shown", async () => {
    const { ask, gateway } = running;
    const made = await ask("POST", "/api/channels", { channel: "clinic", name: "Clínica" });
    expect(made.status).toBe(201);
    expect(made.json).toMatchObject({
      channel: "clinic",
      name: "Clínica",
      state: "qr",
      phone: null,
      webhook_url: null,
    });
    expect(await ask("POST", "/api/channels", { channel: "clinic" })).toMatchObject({ status: 409 });
    expect((await ask("GET", "/api/channels")).json).toEqual({ channels: [made.json] });
    gateway.connect("clinic", BUSINESS);
    expect((await ask("GET", "/api/channels/clinic")).json).toMatchObject({ state: "connected", phone: BUSINESS });
    expect(await ask("GET", "/api/channels/nowhere")).toMatchObject({ status: 404 });
    expect(gateway.log.requests("create_channel").map(({ status, code }) => [status, code])).toEqual([
      [201, undefined],
      [409, "channel_exists"],
    ]);
  });

  test("speak WPPConnect's words when answers are wrapped", async () => {
    const { ask, gateway } = running;
    gateway.modes = { ...gateway.modes, answers: "wrapped" };
    const made = await ask("POST", "/api/channels", { session: "clinic" });
    expect(made.json).toMatchObject({ status: "success", response: { session: "clinic", status: "QRCODE" } });
    expect((await ask("GET", "/api/channels")).json).toMatchObject({ response: [{ session: "clinic" }] });
    expect((await ask("POST", "/api/channels", {})).json).toMatchObject({ status: "error", code: "invalid_channel" });
    gateway.connect("clinic", BUSINESS);
    expect((await ask("GET", "/api/channels/clinic")).json).toMatchObject({
      response: { status: "CONNECTED", wid: `${BUSINESS}@c.us` },
    });
  });

  test.each([
    ["data_url", "plain", /^\{"qr":"data:image\/png;base64,iVBORw0KGgo[\w+/=]+"\}$/],
    ["data_url", "wrapped", /^\{"status":"success","response":\{"qrcode":"data:image\/png;base64,[\w+/=]+"\}\}$/],
    ["base64", "plain", /^\{"qr":"iVBORw0KGgo[\w+/=]+"\}$/],
    ["text", "plain", /^\{"qr":"2@[\w+/=,]+"\}$/],
    ["text", "wrapped", /^\{"status":"success","response":\{"urlcode":"2@[\w+/=,]+"\}\}$/],
    ["bare_text", "plain", /^2@[\w+/=,]+$/],
  ] as const)("the QR code as %s in %s answers", async (qr, answers, shape) => {
    const { ask, gateway } = running;
    gateway.modes = { ...gateway.modes, qr, answers };
    await ask("POST", "/api/channels", { channel: "clinic" });
    const answer = await ask("GET", "/api/channels/clinic/qr");
    expect(answer.status).toBe(200);
    expect(answer.text).toMatch(shape);
  });

  test("scanning the code connects, and then there is none", async () => {
    const { ask, gateway } = running;
    gateway.modes = { ...gateway.modes, qr: "text" };
    await ask("POST", "/api/channels", { channel: "clinic" });
    const { qr } = (await ask("GET", "/api/channels/clinic/qr")).json as { qr: string };
    expect(gateway.scan("2@wrong", BUSINESS)).toBe(false);
    expect(gateway.scan(qr, BUSINESS)).toBe(true);
    expect(gateway.channel("clinic")).toMatchObject({ state: "connected", phone: BUSINESS });
    const again = await ask("GET", "/api/channels/clinic/qr");
    expect(again).toMatchObject({ status: 409, json: { error: { code: "already_connected" } } });
  });
});

describe("webhooks", () => {
  test.each([
    ["one channel's", "/api/channels/clinic/webhook"],
    ["everybody's", "/api/webhooks"],
  ])("%s is set, and a message comes there with its secret", async (_name, path) => {
    const { ask, gateway } = running;
    await ask("POST", "/api/channels", { channel: "clinic" });
    const set = await ask("POST", path, { url: hook.url, secret: HOOK_SECRET, events: ["message"] });
    expect(set).toMatchObject({ status: 200, json: { url: hook.url, enabled: true } });
    expect(set.text).not.toContain(HOOK_SECRET);
    gateway.connect("clinic", BUSINESS);
    expect(await gateway.phone("5511987654321").say("olá").taken).toBe(true);
    await gateway.idle();
    const told = hook.documents().map(({ event }) => event);
    expect(told.toSorted()).toEqual(["connection.update", "connection.update", "message"]);
    expect(hook.requests.map(({ headers }) => headers["x-gateway-secret"])).toEqual(told.map(() => HOOK_SECRET));
  });

  test.each([{}, { url: "" }, { url: "ftp://x/" }, { url: "javascript:alert(1)" }, { url: 7 }])(
    "an address that is none is refused: %j",
    async (body) => {
      expect(await running.ask("POST", "/api/webhooks", body)).toMatchObject({ status: 400 });
    },
  );

  test("come again after an error and after a lost connection, with the same bytes", async () => {
    const ana = connect();
    await running.gateway.idle();
    hook.requests.length = 0;
    hook.answers.push("hang_up", 503);
    const typed = ana.say("olá");
    expect(await typed.taken).toBe(true);
    expect(hook.requests).toHaveLength(3);
    expect(new Set(hook.requests.map(({ body }) => body)).size).toBe(1);
    expect(running.gateway.log.taken()).toContain(`message ${typed.id}`);
  });

  test("a forged one comes once, and its status is told", async () => {
    connect();
    await running.gateway.idle();
    hook.requests.length = 0;
    hook.answers.push(401, "hang_up");
    expect(await running.gateway.forge("clinic", "wrong_secret")).toBe(401);
    expect(await running.gateway.forge("clinic", "truncated")).toBe(0);
    expect(hook.requests).toHaveLength(2);
  });
});

describe("messages", () => {
  const message = { channel: "clinic", to: "5511987654321", text: "Olá\nAna", type: "text" };

  test("arrive on the phone, and their acks come back", async () => {
    const ana = connect();
    const { ask, gateway } = running;
    const answer = await ask("POST", "/api/messages", message, { "idempotency-key": "k1" });
    expect(answer.status).toBe(200);
    const { id } = answer.json as { id: string };
    expect(ana.texts()).toEqual(["Olá\nAna"]);
    ana.read();
    await gateway.idle();
    const acks = gateway.log.webhooks("message.ack").map(({ subject, status }) => [subject, status]);
    expect(acks).toEqual([1, 2, 3].map((level) => [`${id} ${level}`, 200]));
    expect(gateway.outbox.sent()).toMatchObject([{ channel: "clinic", messageId: id, idempotencyKey: "k1" }]);
  });

  test("the first ack may overtake the answer", async () => {
    const acked = Promise.withResolvers<void>();
    connect({ ackBeforeAnswer: true });
    hook.answer = ({ body }) => {
      if (body.includes("message.ack")) acked.resolve();
      return 200;
    };
    running.gateway.faults.next("send", { kind: "silent" });
    const unanswered = running.ask("POST", "/api/messages", message).catch(() => "nothing");
    await expect.poll(() => running.gateway.log.requests("send").length).toBe(1);
    running.gateway.faults.next("send", { kind: "answer_lost" });
    await expect(running.ask("POST", "/api/messages", message)).rejects.toThrow();
    await acked.promise;
    expect(running.gateway.outbox.sent()).toHaveLength(1);
    await running.gateway.stop();
    expect(await unanswered).toBe("nothing");
  });

  test.each([
    ["no recipient", { to: undefined }, 400, "missing_field"],
    ["no text", { text: undefined }, 400, "missing_field"],
    ["a type that it does not know", { type: "hologram" }, 400, "unsupported_type"],
    ["an unknown channel", { channel: "nowhere" }, 404, "channel_not_found"],
    ["somebody without WhatsApp", { to: "5511911111111" }, 404, "number_not_on_whatsapp"],
  ])("are refused with %s", async (_name, change, status, code) => {
    connect();
    const answer = await running.ask("POST", "/api/messages", { ...message, ...change });
    expect(answer).toMatchObject({ status, json: { error: { code } } });
    expect(running.gateway.outbox.sent()).toEqual([]);
  });

  test("are refused while the phone is away, and for what is no JSON", async () => {
    connect();
    running.gateway.disconnect("clinic");
    const away = await running.ask("POST", "/api/messages", message);
    expect(away).toMatchObject({ status: 409, json: { error: { code: "channel_not_connected" } } });
    expect(await running.ask("POST", "/api/messages", "{")).toMatchObject({ status: 400 });
    expect(await running.ask("POST", "/api/messages", "x".repeat(300_000))).toMatchObject({ status: 413 });
  });
});

describe("faults", () => {
  const message = { channel: "clinic", to: "5511987654321", text: "olá", idempotency_key: "k1" };
  const send = () => running.ask("POST", "/api/messages", message);

  test("a refusal on demand, with what it asks to wait, or with a proxy's page", async () => {
    connect();
    running.gateway.faults.next("send", { kind: "error", status: 429, code: "slow_down", retryAfterS: 7 });
    const busy = await send();
    expect(busy).toMatchObject({ status: 429, json: { error: { code: "slow_down" } } });
    expect(busy.headers.get("retry-after")).toBe("7");
    running.gateway.faults.next("any", { kind: "error", status: 502, text: "<html>Bad Gateway</html>" });
    expect(await send()).toMatchObject({ status: 502, text: "<html>Bad Gateway</html>" });
    expect((await send()).status).toBe(200);
    expect(running.gateway.outbox.sent()).toHaveLength(1);
  });

  test("a lost request does nothing, a lost answer does it: whoever repeats it, sends it twice", async () => {
    const ana = connect();
    running.gateway.faults.next("send", { kind: "request_lost" });
    await expect(send()).rejects.toThrow();
    expect(ana.texts()).toEqual([]);
    running.gateway.faults.next("send", { kind: "answer_lost" });
    await expect(send()).rejects.toThrow();
    expect(ana.texts()).toEqual(["olá"]);
    expect(running.gateway.outbox.repeated()).toEqual([]);
    await send();
    expect(running.gateway.outbox.repeated()).toEqual(["k1"]);
  });

  test("a slow answer comes after all", async () => {
    connect();
    running.gateway.faults.next("send", { kind: "slow", delayMs: 20 });
    expect((await send()).status).toBe(200);
  });

  test("an outage: nobody listens, and then everything is as it was", async () => {
    const ana = connect();
    await running.gateway.goDown();
    await expect(send()).rejects.toThrow();
    await running.gateway.comeBack();
    expect((await send()).status).toBe(200);
    expect(ana.texts()).toEqual(["olá"]);
  });
});

test("what a person writes on the business's own phone is told, and arrives", async () => {
  const ana = connect();
  const id = running.gateway.writeOnBusinessPhone("clinic", ana.number, "de viva voz");
  await running.gateway.idle();
  const own = hook.documents().find(({ event }) => event === "message");
  expect(own).toMatchObject({ data: { id, fromMe: true, from: `${BUSINESS}@c.us`, to: "5511987654321@c.us" } });
  expect(ana.texts()).toEqual(["de viva voz"]);
  expect(running.gateway.outbox.sent()).toEqual([]);
  expect(() => running.gateway.writeOnBusinessPhone("clinic", "5511911111111", "?")).toThrow(RangeError);
});

test("a port that is taken is told, and stopping twice is no trouble", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const gateway = new SimulatedGateway({ secret: GATEWAY_SECRET, port });
  await expect(gateway.start()).rejects.toThrow(/EADDRINUSE/);
  await gateway.stop();
  await gateway.stop();
  await new Promise((resolve) => server.close(resolve));
});
