import { beforeEach, expect, test } from "vitest";
import { location, media, reaction } from "#sandbox/wpp/said.ts";
import { settle, WppBench } from "./bench.ts";

let bench: WppBench;

beforeEach(async () => {
  bench = new WppBench();
  await bench.connected();
});

function send(to: string, text: string, idempotencyKey?: string): string | undefined {
  const channel = bench.channels.find("clinic");
  if (channel === undefined) throw new Error("no channel");
  const sent = bench.outbox.send({ channel, to, text, idempotencyKey, quoted: undefined });
  sent?.depart();
  return sent?.message.id;
}

const acks = (): unknown[] =>
  bench
    .documents()
    .filter(({ event }) => event === "message.ack")
    .map(({ data }) => (data as { ack: unknown }).ack);

test.each([
  ["number", "5511987654321@c.us", undefined],
  ["lid", expect.stringMatching(/^\d{15}@lid$/), undefined],
  ["lid_and_number", expect.stringMatching(/^\d{15}@lid$/), "5511987654321@c.us"],
] as const)("shows who wrote as WhatsApp does: %s", async (visibility, jid, phoneNumber) => {
  const ana = bench.chats.phone("5511987654321", { name: "Ana 👋", visibility });
  const typed = ana.say("olá");
  expect(await typed.taken).toBe(true);
  expect(bench.data()).toMatchObject({
    id: typed.id,
    type: "chat",
    body: "olá",
    from: jid,
    chatId: jid,
    to: "5511900000000@c.us",
    fromMe: false,
    isGroupMsg: false,
    notifyName: "Ana 👋",
    t: Math.floor(bench.clock.now() / 1_000),
    sender: { id: jid, pushname: "Ana 👋" },
  });
  expect((bench.data()["sender"] as Record<string, unknown>)["phoneNumber"]).toBe(phoneNumber);
  expect(typed.id).toMatch(/^false_\d+@(c\.us|lid)_3A[0-9A-F]{18}$/);
});

test("a message in a group names the group and its writer", async () => {
  const [ana, rui] = [bench.chats.phone("5511987654321"), bench.chats.phone("351912345678")];
  const group = bench.chats.group("Família", [ana]);
  const typed = ana.say("oi", { group: group.id });
  await typed.taken;
  expect(bench.data()).toMatchObject({
    from: group.id,
    author: "5511987654321@c.us",
    isGroupMsg: true,
    chat: { name: "Família" },
  });
  expect(typed.id).toMatch(/^false_1203630\d+@g\.us_3A[0-9A-F]{18}_5511987654321@c\.us$/);
  expect(() => rui.say("oi", { group: group.id })).toThrow(RangeError);
});

test("media are stubs: a thumbnail in the body, the caption beside it", async () => {
  const ana = bench.chats.phone("5511987654321");
  await ana.send(media({ type: "image", mimetype: "image/jpeg", caption: "veja" })).taken;
  expect(bench.data()).toMatchObject({ type: "image", caption: "veja", isMedia: true, body: expect.any(String) });
  await ana.send(media({ type: "ptt", mimetype: "audio/ogg; codecs=opus", seconds: 7 })).taken;
  expect(bench.data()).toMatchObject({ type: "ptt", duration: "7" });
  await ana.send(location(-23.5, -46.6, "Sé")).taken;
  expect(bench.data()).toMatchObject({ type: "location", lat: -23.5, lng: -46.6, loc: "Sé" });
});

test("a reply and a reaction name the message that they are about", async () => {
  const ana = bench.chats.phone("5511987654321");
  const asked = send("5511987654321", "quando?") ?? "";
  await ana.say("amanhã", { quoted: asked }).taken;
  expect(bench.data()).toMatchObject({ quotedMsgId: asked });
  await ana.send(reaction("👍", asked)).taken;
  expect(bench.data()).toMatchObject({ type: "reaction", reactionText: "👍", msgId: { _serialized: asked } });
});

test("a taken webhook marks the message as read, a refused one does not", async () => {
  const ana = bench.chats.phone("5511987654321");
  const typed = ana.say("olá");
  expect(typed.seen).toBe(false);
  await typed.taken;
  expect(typed.seen).toBe(true);
  bench.answers.push(500, 500, 500);
  const refused = ana.say("alguém?");
  for (const ms of [1_000, 5_000]) {
    await settle();
    bench.clock.advance(ms);
  }
  expect(await refused.taken).toBe(false);
  expect(refused.seen).toBe(false);
});

test("a sent message is acked: sent, delivered when the phone is online, read when somebody looks", async () => {
  const ana = bench.chats.phone("5511987654321");
  ana.goOffline();
  const id = send("5511987654321", "olá");
  await settle();
  expect(acks()).toEqual([1]);
  expect(ana.texts()).toEqual([]);
  ana.goOnline();
  await settle();
  expect(acks()).toEqual([1, 2]);
  expect(ana.received()).toMatchObject([{ text: "olá", read: false }]);
  ana.read();
  ana.read();
  await settle();
  expect(acks()).toEqual([1, 2, 3]);
  expect(bench.data()).toMatchObject({ id: { _serialized: id, fromMe: true }, to: "5511987654321@c.us" });
});

test("in a group it is delivered when the last one has it", async () => {
  const [ana, rui] = [bench.chats.phone("5511987654321"), bench.chats.phone("351912345678")];
  const group = bench.chats.group("Família", [ana, rui]);
  rui.goOffline();
  ana.keepOpen();
  send(group.id, "olá");
  await settle();
  expect(acks()).toEqual([1]);
  rui.goOnline();
  await settle();
  expect(acks()).toEqual([1, 2]);
  rui.read();
  await settle();
  expect(acks()).toEqual([1, 2, 3]);
});

test("steps take their time when they shall, and a stop ends them", async () => {
  bench.modes = { ...bench.modes, ackDelayMs: 1_000 };
  bench.chats.phone("5511987654321");
  send("5511987654321", "olá");
  await settle();
  expect(acks()).toEqual([]);
  bench.clock.advance(1_000);
  await settle();
  expect(acks()).toEqual([1]);
  bench.clock.advance(1_000);
  await settle();
  expect(acks()).toEqual([1, 2]);
  send("5511987654321", "ainda?");
  bench.chats.stop();
  expect(bench.clock.pending).toBe(0);
});

test("a blocked number fails by its ack only, and arrives nowhere", async () => {
  const ana = bench.chats.phone("5511987654321");
  bench.chats.block(ana);
  expect(send("5511987654321", "olá")).toBeDefined();
  await settle();
  expect(acks()).toEqual([-1]);
  expect(ana.texts()).toEqual([]);
});

test("WhatsApp answers with its own form of a Brazilian number", () => {
  bench.chats.phone("551187654321");
  expect(send("5511987654321", "olá")).toMatch(/^true_551187654321@c\.us_3EB0/);
  expect(send("+55 (11) 8765-4321", "olá")).toMatch(/^true_551187654321@c\.us_/);
  const { lid } = bench.chats.phone("5511987654321");
  expect(send(`${lid}@lid`, "olá")).toMatch(new RegExp(`^true_${lid}@lid_`));
  for (const nobody of ["5511999999999", "1@lid", "120363000@g.us", "", "Ana", "a@b@c.us"]) {
    expect(bench.chats.find(nobody)).toBeUndefined();
  }
});

test("every send counts, by its key or else by what it says to whom", () => {
  bench.chats.phone("5511987654321");
  send("5511987654321", "olá", "k1");
  send("5511987654321", "olá", "k1");
  send("5511987654321", "olá", "k2");
  send("5511987654321", "tchau");
  send("5511987654321", "tchau");
  expect(bench.outbox.repeated()).toEqual(["k1", "clinic 5511987654321@c.us tchau"]);
  expect(bench.outbox.counts().get("k2")).toBe(1);
  expect(bench.outbox.sent()).toHaveLength(5);
});

test("a gateway that knows repetitions sends once, and answers alike", () => {
  bench.modes = { ...bench.modes, knowsRepeats: true };
  const ana = bench.chats.phone("5511987654321");
  expect(send("5511987654321", "olá", "k1")).toBe(send("5511987654321", "olá", "k1"));
  expect(ana.texts()).toEqual(["olá"]);
  expect(bench.outbox.repeated()).toEqual([]);
});

test("echoes what was sent, if it is such a gateway", async () => {
  bench.modes = { ...bench.modes, echoesSends: true };
  bench.chats.phone("5511987654321");
  const id = send("5511987654321", "olá");
  await settle();
  expect(bench.documents()[0]).toMatchObject({ event: "message", data: { id, fromMe: true, body: "olá" } });
});

test("what is written while the channel is away comes when it is back, in its order", async () => {
  const ana = bench.chats.phone("5511987654321");
  bench.channels.disconnect("clinic", "disconnectedMobile");
  const [first, second] = [ana.say("um"), ana.say("dois")];
  await settle();
  expect(bench.documents().map(({ event }) => event)).toEqual(["connection.update"]);
  expect(bench.data()).toEqual({ state: "disconnected", reason: "disconnectedMobile" });
  bench.clock.advance(60_000);
  bench.channels.connect("clinic", "5511900000000");
  expect(await Promise.all([first.taken, second.taken])).toEqual([true, true]);
  const messages = bench.documents().filter(({ event }) => event === "message");
  expect(messages.map(({ data }) => (data as { body: string }).body)).toEqual(["um", "dois"]);
  expect(messages[0]).toMatchObject({ data: { t: Math.floor((bench.clock.now() - 60_000) / 1_000) } });
});

test("a phone has to say which channel when there are several", async () => {
  await bench.connected("other");
  const ana = bench.chats.phone("5511987654321");
  expect(() => ana.say("olá")).toThrow(/which channel/);
  await ana.say("olá", { channel: "other" }).taken;
  expect(bench.documents()[0]).toMatchObject({ channel: "other" });
  expect(() => ana.say("olá", { channel: "nowhere" })).toThrow(RangeError);
});

test("flat webhooks have WPPConnect's names", async () => {
  bench.modes = { ...bench.modes, envelope: "flat" };
  const ana = bench.chats.phone("5511987654321");
  await ana.say("olá").taken;
  send("5511987654321", "oi");
  bench.channels.disconnect("clinic");
  await settle();
  expect(bench.documents()).toMatchObject([
    { event: "onmessage", session: "clinic", body: "olá", from: "5511987654321@c.us" },
    { event: "onack", session: "clinic", ack: 1, id: { remote: "5511987654321@c.us" } },
    { event: "status-find", session: "clinic", status: "disconnectedMobile" },
    { event: "onack", ack: 2 },
  ]);
});
