import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { PhoneServer } from "#sandbox/phone/phone-server.ts";
import type { ChatMessage, LinkedChannel, PhoneNotice } from "#sandbox/phone/protocol.ts";
import { SimulatedGateway } from "#sandbox/wpp/gateway.ts";
import { GATEWAY_SECRET, HOOK_SECRET, Hook } from "#test/support/gateway.ts";
import { number, openSandbox, type Sandbox } from "./business.ts";

const demo = { id: number.phoneNumberId, display: "15551440000", name: "Echo", explanation: "…", extension: "600" };
const BUSINESS = "551130001000";

let sandbox: Sandbox;
let gateway: SimulatedGateway;
let hook: Hook;
let server: PhoneServer;
let gatewayUrl: string;
let url: string;
const phones: Phone[] = [];

beforeEach(async () => {
  sandbox = await openSandbox();
  hook = new Hook();
  await hook.start();
  gateway = new SimulatedGateway({ secret: GATEWAY_SECRET, webhookTimings: { retryDelaysMs: [] } });
  ({ url: gatewayUrl } = await gateway.start());
  server = new PhoneServer({ meta: sandbox.meta, numbers: [demo], gateway });
  ({ url } = await server.start());
});

afterEach(async () => {
  for (const phone of phones.splice(0)) phone.socket.terminate();
  await server.stop();
  await gateway.stop();
  await hook.stop();
  await sandbox.stop();
});

/** A phone page without the page: it keeps what it is told. */
class Phone {
  readonly errors: string[] = [];
  readonly messages = new Map<string, ChatMessage>();
  /** Every state that each message was told in. */
  readonly states: string[] = [];
  readonly socket: WebSocket;
  channels: readonly LinkedChannel[] | undefined;
  number = "";

  constructor(at = url, number?: string) {
    const query = number === undefined ? "" : `?number=${number}`;
    this.socket = new WebSocket(`${at.replace("http", "ws")}phone${query}`);
    this.socket.on("message", (data) => this.#take(JSON.parse(String(data)) as PhoneNotice));
    this.socket.on("error", () => undefined);
    phones.push(this);
  }

  get texts(): readonly string[] {
    return [...this.messages.values()].map(({ from, text, state }) => `${from}: ${text} (${state})`);
  }

  send(request: unknown): void {
    this.socket.send(JSON.stringify(request));
  }

  async ready(): Promise<this> {
    await expect.poll(() => this.channels, poll).toBeDefined();
    return this;
  }

  async shows(...texts: string[]): Promise<void> {
    await expect.poll(() => this.texts, poll).toEqual(texts);
  }

  async isTold(error: RegExp): Promise<void> {
    await expect.poll(() => this.errors.at(-1), poll).toMatch(error);
  }

  async sees(channel: string, state: string): Promise<void> {
    await expect.poll(() => this.channels?.find(({ id }) => id === channel)?.state, poll).toBe(state);
  }

  #take(notice: PhoneNotice): void {
    if (notice.type === "welcome") this.number = notice.user.number;
    if (notice.type === "channels") this.channels = notice.channels;
    if (notice.type === "error") this.errors.push(notice.text);
    if (notice.type !== "message") return;
    this.messages.set(notice.message.id, notice.message);
    this.states.push(`${notice.message.text} ${notice.message.state}`);
  }
}

const poll = { interval: 5, timeout: 2_000 };

async function request(path: string, body?: object): Promise<Readonly<Record<string, unknown>>> {
  const headers = { "x-gateway-secret": GATEWAY_SECRET, "content-type": "application/json", connection: "close" };
  const init = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const response = await fetch(gatewayUrl + path, { ...init, headers });
  return (await response.json()) as Readonly<Record<string, unknown>>;
}

function clinic(): void {
  gateway.addChannel("clinic", BUSINESS, { url: hook.url, secret: HOOK_SECRET });
}

describe("linked devices", () => {
  test("a code that is on a screen is scanned; the channel is connected, dropped, and scanned again", async () => {
    const phone = await new Phone().ready();
    expect(phone.channels).toEqual([]);
    await request("/api/channels", { channel: "clinic", name: "Clínica" });
    await phone.sees("clinic", "qr");
    phone.send({ type: "scan", channel: "clinic" });
    await phone.isTold(/on no screen/);
    await request("/api/channels/clinic/qr");
    phone.send({ type: "scan", channel: "clinic" });
    await phone.sees("clinic", "connected");
    const [connected] = phone.channels ?? [];
    expect(connected).toMatchObject({ name: "Clínica", phone: expect.stringMatching(/^55113\d{7}$/) });
    phone.send({ type: "unlink", channel: "clinic" });
    await phone.sees("clinic", "disconnected");
    await request("/api/channels/clinic/qr");
    await phone.sees("clinic", "qr");
    phone.send({ type: "scan", channel: "clinic" });
    await phone.sees("clinic", "connected");
    expect(phone.channels?.[0]?.phone).toBe(connected?.phone);
  });
});

describe("a chat", () => {
  test("what is typed reaches the webhook, and is read when that was answered", async () => {
    clinic();
    const { promise, resolve } = Promise.withResolvers<number>();
    hook.answer = () => promise;
    const phone = await new Phone().ready();
    phone.send({ type: "say", channel: "clinic", text: "olá" });
    await phone.shows("user: olá (delivered)");
    resolve(200);
    await phone.shows("user: olá (read)");
    const [document, ...others] = hook.documents().filter(({ event }) => event === "message");
    expect(others).toEqual([]);
    expect(document).toMatchObject({ channel: "clinic" });
    expect(document?.["data"]).toMatchObject({ body: "olá", from: `${phone.number}@c.us`, notifyName: "Ana Sandbox" });
  });

  test("what nobody answers for is delivered, and never read", async () => {
    clinic();
    hook.answer = () => 500;
    const phone = await new Phone().ready();
    phone.send({ type: "say", channel: "clinic", text: "alguém?" });
    await expect.poll(() => phone.states, poll).toEqual(["alguém? delivered", "alguém? delivered"]);
  });

  test("has one tick while the channel is away, and goes on when it is back", async () => {
    clinic();
    gateway.disconnect("clinic");
    const phone = await new Phone().ready();
    phone.send({ type: "say", channel: "clinic", text: "olá" });
    await phone.shows("user: olá (sent)");
    gateway.connect("clinic", BUSINESS);
    await phone.shows("user: olá (read)");
    expect(phone.states).toEqual(["olá sent", "olá delivered", "olá read"]);
  });

  test("messages of the business arrive; their acks say delivered, and read once the chat is open", async () => {
    clinic();
    gateway.addChannel("shop", "551130002000");
    const phone = await new Phone().ready();
    const acks = (): readonly unknown[] =>
      hook.documents().map(({ data }) => (data as Readonly<Record<string, unknown>>)["ack"]);
    const send = (text: string) => request("/api/messages", { channel: "clinic", to: phone.number, text });
    await send("Fatura vencida");
    await phone.shows("business: Fatura vencida (delivered)");
    phone.send({ type: "look", channel: "shop" });
    phone.send({ type: "look" });
    await send("Segunda via");
    await phone.shows("business: Fatura vencida (delivered)", "business: Segunda via (delivered)");
    await expect.poll(acks, poll).toEqual([undefined, undefined, 1, 2, 1, 2]);
    phone.send({ type: "look", channel: "clinic" });
    await phone.shows("business: Fatura vencida (read)", "business: Segunda via (read)");
    await send("Obrigado");
    await expect.poll(() => phone.texts.at(-1), poll).toBe("business: Obrigado (read)");
    await expect.poll(() => acks().slice(6), poll).toEqual([3, 3, 1, 2, 3]);
  });

  test("a quoted message is told by its id, and a picture by its kind", async () => {
    clinic();
    const phone = await new Phone().ready();
    phone.send({ type: "say", channel: "clinic", text: "quanto?" });
    await phone.shows("user: quanto? (read)");
    const [id] = phone.messages.keys();
    await request("/api/messages", { channel: "clinic", to: phone.number, text: "R$ 10", reply_to: id });
    gateway.writeOnBusinessPhone("clinic", phone.number, { type: "image", body: "/9j/4AAQ" });
    await phone.shows("user: quanto? (read)", "business: R$ 10 (delivered)", "business: [image] (delivered)");
    expect([...phone.messages.values()][1]?.quoted).toBe(id);
  });
});

describe("what cannot be", () => {
  test.each([
    ["a channel that is not there", { type: "say", channel: "x", text: "olá" }, /no such channel/],
    ["a chat that is not there", { type: "look", channel: "x" }, /no such channel/],
    ["no words", { type: "say", channel: "clinic", text: " \n" }, /1 to 4096/],
    ["too many words", { type: "say", channel: "clinic", text: "x".repeat(4_097) }, /1 to 4096/],
    ["words that are none", { type: "say", channel: "clinic", text: 5 }, /understood/],
    ["a channel that is none", { type: "scan", channel: {} }, /understood/],
    ["a scan of what shows no code", { type: "scan", channel: "clinic" }, /shows no code/],
    ["a channel without a number", { type: "say", channel: "new", text: "olá" }, /scanned/],
    ["a link that is none", { type: "unlink", channel: "new" }, /not connected/],
  ])("%s is told, and nothing happens", async (_name, wrong, text) => {
    clinic();
    await request("/api/channels", { channel: "new" });
    const phone = await new Phone().ready();
    await gateway.idle();
    const before = gateway.log.entries().length;
    phone.send(wrong);
    await phone.isTold(text);
    expect(phone.socket.readyState).toBe(WebSocket.OPEN);
    expect(gateway.log.entries()).toHaveLength(before);
  });

  test("more than 200 messages that nobody took", async () => {
    clinic();
    gateway.disconnect("clinic");
    const phone = await new Phone().ready();
    for (let i = 0; i <= 200; i += 1) phone.send({ type: "say", channel: "clinic", text: `${i}` });
    await phone.isTold(/Too many/);
    expect(phone.messages.size).toBe(200);
  });

  test("chats where there is no gateway", async () => {
    const alone = new PhoneServer({ meta: sandbox.meta, numbers: [demo] });
    const phone = new Phone((await alone.start()).url);
    await expect.poll(() => phone.number, poll).not.toBe("");
    phone.send({ type: "look" });
    await phone.isTold(/no chats here/);
    expect(phone.channels).toBeUndefined();
    await alone.stop();
  });
});

describe("a phone that has gone", () => {
  test("is offline; when its page is back it has its number, its chats and what came meanwhile", async () => {
    clinic();
    const phone = await new Phone().ready();
    phone.send({ type: "say", channel: "clinic", text: "já volto" });
    phone.send({ type: "look", channel: "clinic" });
    await phone.shows("user: já volto (read)");
    const there = gateway.phone(phone.number);
    phone.socket.terminate();
    await expect.poll(() => there.online, poll).toBe(false);
    await request("/api/messages", { channel: "clinic", to: phone.number, text: "olá" });
    await gateway.idle();
    expect(there.texts()).toEqual([]);
    const back = await new Phone(url, phone.number).ready();
    expect(back.number).toBe(phone.number);
    await back.shows("user: já volto (read)", "business: olá (delivered)");
  });

  test.each([
    ["in use", async () => (await new Phone().ready()).number],
    ["nobody's", async () => "5511900000000"],
  ])("cannot come back with a number that is %s", async (_name, numberOf) => {
    const taken = await numberOf();
    const other = await new Phone(url, taken).ready();
    expect(other.number).not.toBe(taken);
  });
});
