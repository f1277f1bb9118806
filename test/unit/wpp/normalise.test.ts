import { expect, test } from "vitest";
import { readEnvelopes } from "#wpp/envelope.ts";
import { normalise } from "#wpp/normalise.ts";

const receivedAt = 1_760_681_600_000;
const ana = "5511987654321@c.us";
const id = `false_${ana}_3EB0C767D26A1B2E`;
/** As WPPConnect sends it: envelope and message are one object. */
const flat = {
  event: "onmessage",
  session: "clinic",
  id,
  from: ana,
  to: "551155501000@c.us",
  t: 1_760_681_500,
  type: "chat",
  body: "Oi",
  sender: { id: ana, pushname: "Ana" },
  fromMe: false,
  isGroupMsg: false,
};

function read(document: object, channelId = "clinic") {
  return readEnvelopes(document).envelopes.map((envelope) => normalise(envelope, channelId, receivedAt));
}

function draftOf(document: object) {
  const [first] = read(document);
  if (first?.is !== "event") throw new Error(`no event: ${JSON.stringify(first)}`);
  return first.draft;
}

test.each([
  ["flat, as WPPConnect", flat],
  ["plain, with data", { event: "message", channel: "clinic", data: flat }],
  [
    "plain, with payload and time outside",
    { event: "message", channel: "clinic", timestamp: "2025-10-17T06:11:40Z", payload: { ...flat, t: undefined } },
  ],
  [
    "with addresses and ids in parts",
    { ...flat, id: { _serialized: id, fromMe: false, remote: ana, id: "3EB0" }, from: { _serialized: ana } },
  ],
])("a message %s comes to one event", (_, document) => {
  const { raw, ...draft } = draftOf(document);
  expect(raw).toBeDefined();
  expect(draft).toEqual({
    sourceSystem: "wpp_gateway",
    externalId: `clinic/${id}`,
    type: "whatsapp.inbound.message",
    payload: {
      channel: { provider: "wpp_gateway", id: "clinic" },
      message_id: id,
      from: { phone: "5511987654321", name: "Ana" },
      chat: { kind: "direct", id: ana },
      from_me: false,
      sent_at: "2025-10-17T06:11:40.000Z",
      content: { type: "text", text: "Oi" },
    },
    payloadVersion: 1,
    provider: "wpp_gateway",
    channelId: "clinic",
    conversationKey: "wpp_gateway/clinic/phone/5511987654321",
    occurredAt: 1_760_681_500_000,
  });
});

test.each([
  [
    "a hidden number",
    { from: "123456789012345@lid", sender: { id: "123456789012345@lid" } },
    { from: { lid: "123456789012345" }, chat: { kind: "direct", id: "123456789012345@lid" } },
    "lid/123456789012345",
  ],
  [
    "a hidden number with the number beside it",
    { from: "123456789012345@lid", sender: { id: "123456789012345@lid" }, senderPn: ana },
    { from: { lid: "123456789012345", phone: "5511987654321" } },
    "phone/5511987654321",
  ],
  [
    "a device",
    { from: "5511987654321:12@s.whatsapp.net", sender: undefined },
    { from: { phone: "5511987654321" } },
    "phone/5511987654321",
  ],
  [
    "a number without the ninth digit",
    { from: "551187654321@c.us", sender: undefined },
    { from: { phone: "551187654321" }, chat: { id: "551187654321@c.us" } },
    "phone/5511987654321",
  ],
  [
    "a group",
    { from: "120363025246125486@g.us", author: ana, groupInfo: { name: "Family" }, isGroupMsg: true },
    { from: { phone: "5511987654321" }, chat: { kind: "group", id: "120363025246125486@g.us", name: "Family" } },
    "group/120363025246125486",
  ],
  [
    "the business phone itself",
    { fromMe: true, from: "551155501000@c.us", to: ana, sender: { id: "551155501000@c.us", pushname: "Clinic" } },
    { from_me: true, from: { phone: "5511987654321" }, chat: { id: ana } },
    "phone/5511987654321",
  ],
  [
    "a broadcast list",
    { from: "1500000000@broadcast", author: ana, chatId: "1500000000@broadcast" },
    { from: { phone: "5511987654321" }, chat: { kind: "direct", id: ana } },
    "phone/5511987654321",
  ],
])("%s", (_, change, payload, peer) => {
  const draft = draftOf({ ...flat, ...change });
  expect(draft.payload).toMatchObject(payload);
  expect(draft.payload["from"]).toEqual({ ...(payload.from ?? {}), ...(draft.payload["from"] as { name?: string }) });
  expect(draft.conversationKey).toBe(`wpp_gateway/clinic/${peer}`);
});

test("with fromMe the name is not the business's own", () => {
  const draft = draftOf({ ...flat, fromMe: true, from: "551155501000@c.us", to: ana, notifyName: "Clinic" });
  expect(draft.payload["from"]).toEqual({ phone: "5511987654321" });
});

test.each([
  [
    "image",
    { type: "image", body: "/9j/4AAQ", caption: "look", mimetype: "image/jpeg", size: 123 },
    { type: "image", caption: "look", mime_type: "image/jpeg", size_bytes: 123 },
  ],
  [
    "voice",
    { type: "ptt", mimetype: "audio/ogg; codecs=opus", duration: "7" },
    { type: "voice", mime_type: "audio/ogg; codecs=opus", duration_s: 7 },
  ],
  [
    "document",
    { type: "document", filename: "boleto.pdf", url: "file:///etc/passwd" },
    { type: "document", filename: "boleto.pdf" },
  ],
  [
    "location",
    { type: "location", lat: -23.5, lng: "-46.6", loc: "Office" },
    { type: "location", latitude: -23.5, longitude: -46.6, name: "Office" },
  ],
  [
    "card",
    { type: "vcard", body: "BEGIN:VCARD\nFN:Bia\nitem1.TEL;waid=5511:+55 11 9\nEND:VCARD" },
    { type: "contacts", contacts: [{ name: "Bia", phones: ["+55 11 9"] }] },
  ],
  [
    "list choice",
    { type: "list_response", body: "A", listResponse: { title: "A", singleSelectReply: { selectedRowId: "a" } } },
    { type: "reply", id: "a", title: "A" },
  ],
  [
    "button",
    { type: "buttons_response", body: "Yes", selectedButtonId: "y" },
    { type: "reply", id: "y", title: "Yes" },
  ],
  [
    "reaction",
    { type: "reaction", reactionText: "👍", msgId: { _serialized: "true_x" } },
    { type: "reaction", emoji: "👍", message_id: "true_x" },
  ],
  ["poll", { type: "poll_creation" }, { type: "unsupported", kind: "poll_creation" }],
  [
    "text without a type",
    { type: undefined, body: undefined, text: "two\r\nlines" },
    { type: "text", text: "two\nlines" },
  ],
])("content: %s", (_, change, content) => {
  expect(draftOf({ ...flat, ...change }).payload["content"]).toEqual(content);
});

test("a quoted message and a forward", () => {
  expect(draftOf({ ...flat, quotedMsgId: "true_q", isForwarded: true }).payload).toMatchObject({
    reply_to: "true_q",
    forwarded: true,
  });
});

test.each([
  ["a status", { from: "status@broadcast", author: ana }, "ignored"],
  ["a newsletter", { from: "120363144038483540@newsletter" }, "ignored"],
  ["a notice", { type: "e2e_notification" }, "ignored"],
  ["what is not decrypted yet", { type: "ciphertext" }, "ignored"],
  ["another event", { event: "onpresencechanged" }, "ignored"],
  ["no id", { id: undefined }, "problem"],
  ["an endless id", { id: "x".repeat(500) }, "problem"],
  ["nobody", { from: undefined, sender: undefined, to: undefined }, "problem"],
  ["an e-mail address", { from: "ana@example.com", sender: undefined }, "problem"],
])("%s is no event", (_, change, is) => {
  expect(read({ ...flat, ...change })).toMatchObject([{ is }]);
});

const ack = {
  event: "message.ack",
  channel: "clinic",
  data: { id: `true_${ana}_3EB0`, to: ana, fromMe: true, ack: 2, timestamp: 1_760_681_510 },
};

test.each([
  [-1, "failed"],
  [1, "sent"],
  [2, "delivered"],
  [3, "read"],
  [4, "read"],
  ["3", "read"],
  ["SERVER_ACK", "sent"],
  ["DELIVERY_ACK", "delivered"],
  ["read", "read"],
  ["failed", "failed"],
])("ack %s: %s", (word, status) => {
  const draft = draftOf({ ...ack, data: { ...ack.data, ack: word } });
  expect(draft).toMatchObject({
    type: "whatsapp.delivery.ack",
    externalId: `clinic/true_${ana}_3EB0/${status}`,
    conversationKey: "wpp_gateway/clinic/phone/5511987654321",
    payload: {
      message_id: `true_${ana}_3EB0`,
      status,
      at: "2025-10-17T06:11:50.000Z",
      recipient: { phone: "5511987654321" },
    },
  });
});

test("an ack whose id comes in parts has the id of the sending", () => {
  const draft = draftOf({ ...ack, data: { ...ack.data, id: { fromMe: true, remote: ana, id: "3EB0" } } });
  expect(draft.payload["message_id"]).toBe(`true_${ana}_3EB0`);
});

test.each([[0], [7], [null], ["pending"], [{}]])("ack %j is no news", (word) => {
  expect(read({ ...ack, data: { ...ack.data, ack: word } })).toMatchObject([{ is: "ignored" }]);
});

test.each([
  [
    { event: "connection.update", data: { state: "connected", phone: "551155501000", timestamp: 1_760_681_510 } },
    "connected",
  ],
  [{ event: "connection.update", data: { status: "close", reason: "logged out" } }, "disconnected"],
  [{ event: "status-find", session: "clinic", status: "inChat" }, "connected"],
  [{ event: "status-find", session: "clinic", status: "notLogged" }, "qr"],
  [{ event: "status-find", session: "clinic", status: "desconnectedMobile" }, "disconnected"],
  [{ event: "qrcode", session: "clinic", qrcode: "iVBORw0", urlcode: "2@secret" }, "qr"],
])("%j is %s", (document, state) => {
  const draft = draftOf(document);
  expect(draft).toMatchObject({
    type: "whatsapp.connection.update",
    payload: { state },
    conversationKey: "wpp_gateway/clinic/connection",
  });
  expect(JSON.stringify(draft.raw)).not.toMatch(/iVBORw0|2@secret/);
});

test("lists of both styles are taken apart, up to a limit", () => {
  expect(read({ channel: "clinic", events: [flat, ack] })).toHaveLength(2);
  expect(read([flat, ack, 3, null])).toHaveLength(2);
  expect(read({ event: "message", data: [flat, flat] })).toHaveLength(2);
  expect(readEnvelopes(Array(501).fill(flat)).tooMany).toBe(true);
  expect(readEnvelopes("text").envelopes).toEqual([]);
});

test("pictures in base64 do not go into the raw body", () => {
  const { raw } = draftOf({ ...flat, type: "image", body: "A".repeat(1_000_000) });
  expect(JSON.stringify(raw).length).toBeLessThan(10_000);
});

test("ten thousand mutations never throw", () => {
  let seed = 7;
  const random = () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
  const values = [null, 0, -1, "", "x", [], {}, true, "x@g.us", { _serialized: 3 }, [[1]], 1e300, "\ud800"];
  const pick = () => values[Math.floor(random() * values.length)];
  for (let round = 0; round < 10_000; round++) {
    const document: Record<string, unknown> = { ...(round % 2 === 0 ? flat : { ...ack.data, event: "ack" }) };
    for (const key of Object.keys(document)) if (random() < 0.3 && key !== "event") document[key] = pick();
    for (const result of read(document))
      if (result.is === "event") expect(result.draft.externalId.length).toBeLessThanOrEqual(512);
  }
});
