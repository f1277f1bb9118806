import { expect, test } from "vitest";
import type { MessagePayload } from "#core/event/payloads.ts";
import { body, channelId, contact, metadata, webhook } from "#test/support/fixtures/webhooks/webhooks.ts";
import { readWebhook } from "#whatsapp/webhook.ts";

const receivedAt = 1_760_681_600_000;
const wamid = "wamid.HBgNNTUxMTk4NzY1NDMyMRUCABIYIA==";
const text = {
  from: "5511987654321",
  id: wamid,
  timestamp: "1760681500",
  type: "text",
  text: { body: "Oi\nTudo bem?" },
};

function change(value: object, field = "messages"): object {
  return { field, value: { messaging_product: "whatsapp", metadata, ...value } };
}

function read(...changes: readonly object[]) {
  return readWebhook(body(webhook(...changes)), receivedAt, { messages: true });
}

function messageOf(message: object): MessagePayload {
  const { messages, problems } = read(change({ contacts: [contact], messages: [{ ...text, ...message }] }));
  expect(problems).toEqual([]);
  expect(messages).toHaveLength(1);
  return messages[0]?.payload as unknown as MessagePayload;
}

test("a text becomes an event that names channel, person and conversation", () => {
  const { messages, events, problems } = read(change({ contacts: [contact], messages: [text] }));
  expect({ events, problems }).toEqual({ events: [], problems: [] });
  expect(messages).toEqual([
    {
      sourceSystem: "cloud_api",
      externalId: `${channelId}/${wamid}`,
      type: "whatsapp.inbound.message",
      payload: {
        channel: { provider: "cloud_api", id: channelId },
        message_id: wamid,
        from: { phone: "5511987654321", bsuid: contact.user_id, username: "ana.s", name: "Ana Ferré" },
        chat: { kind: "direct", id: "5511987654321" },
        from_me: false,
        sent_at: "2025-10-17T06:11:40.000Z",
        content: { type: "text", text: "Oi\nTudo bem?" },
      },
      payloadVersion: 1,
      raw: { metadata, contact, entry: text },
      provider: "cloud_api",
      channelId,
      conversationKey: `cloud_api/${channelId}/phone/5511987654321`,
      occurredAt: 1_760_681_500_000,
    },
  ]);
});

test("without being asked for, the field stays ignored with a word", () => {
  const reading = readWebhook(body(webhook(change({ messages: [text] }))), receivedAt);
  expect(reading.messages).toEqual([]);
  expect(reading.events).toEqual([{ type: "ignored", what: "field messages" }]);
});

test.each([
  [
    "image",
    { image: { id: "123", mime_type: "image/jpeg", sha256: "x", caption: "look" } },
    { type: "image", media_id: "123", mime_type: "image/jpeg", sha256: "x", caption: "look" },
  ],
  [
    "audio",
    { audio: { id: "9", mime_type: "audio/ogg; codecs=opus", voice: true } },
    { type: "voice", media_id: "9", mime_type: "audio/ogg; codecs=opus" },
  ],
  ["audio", { audio: { id: "9" } }, { type: "audio", media_id: "9" }],
  [
    "document",
    { document: { id: "7", filename: "boleto.pdf" } },
    { type: "document", media_id: "7", filename: "boleto.pdf" },
  ],
  [
    "location",
    { location: { latitude: -23.5, longitude: -46.6, name: "Office" } },
    { type: "location", latitude: -23.5, longitude: -46.6, name: "Office" },
  ],
  ["location", { location: { latitude: 123, longitude: 0 } }, { type: "unsupported", kind: "location" }],
  [
    "reaction",
    { reaction: { message_id: "wamid.x", emoji: "👍" } },
    { type: "reaction", message_id: "wamid.x", emoji: "👍" },
  ],
  ["reaction", { reaction: { message_id: "wamid.x" } }, { type: "reaction", message_id: "wamid.x", emoji: "" }],
  ["button", { button: { payload: "yes", text: "Yes!" } }, { type: "reply", id: "yes", title: "Yes!" }],
  [
    "interactive",
    { interactive: { type: "button_reply", button_reply: { id: "a", title: "A" } } },
    { type: "reply", id: "a", title: "A" },
  ],
  [
    "interactive",
    { interactive: { type: "list_reply", list_reply: { id: "b", title: "B", description: "d" } } },
    { type: "reply", id: "b", title: "B" },
  ],
  [
    "interactive",
    { interactive: { type: "call_permission_reply", call_permission_reply: { response: "accept" } } },
    { type: "unsupported", kind: "call_permission_reply" },
  ],
  [
    "contacts",
    { contacts: [{ name: { formatted_name: "Bia" }, phones: [{ phone: "+55 11 9" }, {}] }] },
    { type: "contacts", contacts: [{ name: "Bia", phones: ["+55 11 9"] }] },
  ],
  ["order", { order: {} }, { type: "unsupported", kind: "order" }],
  ["text", { text: {} }, { type: "unsupported", kind: "text" }],
  ["<script>", {}, { type: "unsupported", kind: "unknown" }],
])("content of %s %j", (type, part, content) => {
  expect(messageOf({ type, ...part }).content).toEqual(content);
});

test("a reply, a forward, a group and a sender without a number", () => {
  expect(messageOf({ context: { id: "wamid.before", forwarded: true } })).toMatchObject({
    reply_to: "wamid.before",
    forwarded: true,
  });
  expect(messageOf({ group_id: "Y2FwaV9ncm91cDo" }).chat).toEqual({ kind: "group", id: "Y2FwaV9ncm91cDo" });
  const { messages } = read(change({ messages: [{ ...text, from: undefined, from_user_id: "BR.1349" }] }));
  expect(messages[0]).toMatchObject({
    conversationKey: `cloud_api/${channelId}/bsuid/BR.1349`,
    payload: { from: { bsuid: "BR.1349" } },
  });
});

test("both Brazilian forms are one conversation", () => {
  const keys = ["5511987654321", "551187654321"].map(
    (from) => read(change({ messages: [{ ...text, from }] })).messages[0]?.conversationKey,
  );
  expect(new Set(keys)).toEqual(new Set([`cloud_api/${channelId}/phone/5511987654321`]));
});

test("what a person writes in the business app comes as from_me, in the conversation with its recipient", () => {
  const echo = { ...text, from: "15551440000", to: "5511987654321" };
  const { messages } = read(change({ message_echoes: [echo] }, "smb_message_echoes"));
  expect(messages[0]).toMatchObject({
    conversationKey: `cloud_api/${channelId}/phone/5511987654321`,
    payload: { from_me: true, from: { phone: "5511987654321" } },
  });
});

const status = { id: wamid, status: "delivered", timestamp: "1760681510", recipient_id: "5511987654321" };

test.each([
  ["sent", "sent"],
  ["delivered", "delivered"],
  ["read", "read"],
  ["played", "read"],
  ["failed", "failed"],
])("status %s is an acknowledgement: %s", (word, expected) => {
  const errors =
    word === "failed"
      ? [{ code: 131047, title: "Re-engagement message", error_data: { details: "24 hours" } }]
      : undefined;
  const { messages } = read(change({ statuses: [{ ...status, status: word, errors }] }));
  expect(messages).toMatchObject([
    {
      externalId: `${channelId}/${wamid}/${word}`,
      type: "whatsapp.delivery.ack",
      conversationKey: `cloud_api/${channelId}/phone/5511987654321`,
      payload: {
        message_id: wamid,
        status: expected,
        at: "2025-10-17T06:11:50.000Z",
        ...(errors && { error: { code: "131047", message: "24 hours" } }),
      },
    },
  ]);
});

test("what cannot be used is a problem or ignored with a word, and the rest of the batch is taken", () => {
  const wrong = [
    { ...text, id: undefined },
    { ...text, id: `wamid.${"x".repeat(400)}` },
    { ...text, from: undefined },
  ];
  const reading = read(
    change({
      messages: [...wrong, text],
      statuses: [
        { ...status, status: "deleted" },
        { ...status, status: "__proto__" },
      ],
    }),
    change({ metadata: { phone_number_id: "../x" }, messages: [text] }),
    change({ errors: [{ code: 130429 }] }),
  );
  expect(reading.messages).toHaveLength(1);
  expect(reading.problems).toEqual([
    "entry[0].changes[0].value.messages[0]: id is missing or unusable",
    "entry[0].changes[0].value.messages[1]: id is missing or unusable",
    "entry[0].changes[0].value.messages[2]: nobody wrote it",
    "entry[0].changes[1].value: metadata.phone_number_id is missing or unusable",
    "entry[0].changes[2].value: Meta reports errors 130429",
  ]);
  expect(reading.events).toEqual([
    { type: "ignored", what: "status deleted" },
    { type: "ignored", what: "status __proto__" },
  ]);
});

test("a time in the future, in milliseconds or absent is the time of receipt at the latest", () => {
  const at = (timestamp: unknown) => read(change({ messages: [{ ...text, timestamp }] })).messages[0]?.occurredAt;
  expect([at("1760681500"), at(1_760_681_500_000), at("9999999999"), at(undefined), at({})]).toEqual([
    1_760_681_500_000,
    1_760_681_500_000,
    receivedAt,
    receivedAt,
    receivedAt,
  ]);
});

test("texts that Postgres refuses are mended, in the payload and in the raw body", () => {
  const { messages } = read(change({ messages: [{ ...text, text: { body: "a\u0000b\ud800" } }] }));
  expect(JSON.stringify(messages)).not.toMatch(/\\u0000|\\ud800/);
});

test("five thousand mutations never throw, and never yield an event that cannot be stored", () => {
  let seed = 11;
  const random = () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
  const values = [null, 0, -1, "", "x", [], {}, true, "\ud800\u0000", [[1]], 1e300, "9".repeat(600), { id: {} }];
  const mutate = (document: object): object =>
    Object.fromEntries(
      Object.entries(document).map(([key, value]: [string, unknown]) => {
        if (random() < 0.15) return [key, values[Math.floor(random() * values.length)]];
        return [key, typeof value === "object" && value !== null && !Array.isArray(value) ? mutate(value) : value];
      }),
    );
  for (let round = 0; round < 5_000; round++) {
    const part = {
      ...text,
      type: "interactive",
      interactive: { type: "list_reply", list_reply: { id: "b", title: "B" } },
    };
    const value = { contacts: [mutate(contact)], messages: [mutate(text), mutate(part)], statuses: [mutate(status)] };
    for (const { externalId, payload, conversationKey } of read(change(value)).messages) {
      expect(externalId.length).toBeLessThanOrEqual(512);
      expect(JSON.stringify([payload, conversationKey])).not.toMatch(/\\u0000|\\ud800/);
    }
  }
});
