import type { Server, ServerResponse } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { OutgoingContent } from "#core/message/content.ts";
import type { OutgoingMessage } from "#core/message/message.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { quietLog } from "#test/support/quiet-log.ts";
import { CloudMessageSender } from "#whatsapp/message-sender.ts";

const token = "EAAtoken0123456789";
const channelId = "436666719526789";
const message: OutgoingMessage = {
  id: "0197a1b2-0000-7000-8000-000000000001",
  tenantId: "t",
  provider: "cloud_api",
  channelId,
  to: [{ kind: "phone", value: "5511987654321", address: "551187654321" }],
  content: { type: "text", text: "Oi" },
  idempotencyKey: "evt_1/rule/0",
};

let server: Server;
let seen: { readonly url: string | undefined; readonly authorization: string | undefined; readonly body: unknown }[];
let behave: (response: ServerResponse) => void;
let clock: FakeClock;
let sender: CloudMessageSender;
let log: ReturnType<typeof quietLog>;

beforeEach(async () => {
  seen = [];
  behave = (response) =>
    response.end(JSON.stringify({ messaging_product: "whatsapp", messages: [{ id: "wamid.out" }] }));
  server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request.setEncoding("utf8")) text += chunk;
    seen.push({ url: request.url, authorization: request.headers.authorization, body: JSON.parse(text) as unknown });
    behave(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  clock = new FakeClock();
  log = quietLog();
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  sender = new CloudMessageSender({ baseUrl, version: "v23.0", channels: new Map([[channelId, token]]), clock, log });
});

afterEach(async () => {
  sender.stop();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  expect(clock.pending).toBe(0);
});

const send = (change: Partial<OutgoingMessage> = {}) => sender.send({ ...message, ...change }, clock.now() + 20_000);

test("a text goes out with the channel's token, in the form of the number that WhatsApp gave", async () => {
  expect(await send({ replyTo: "wamid.in" })).toEqual({ ok: true, providerMessageId: "wamid.out" });
  expect(seen).toEqual([
    {
      url: `/v23.0/${channelId}/messages`,
      authorization: `Bearer ${token}`,
      body: {
        messaging_product: "whatsapp",
        recipient_type: "individual",
        to: "551187654321",
        context: { message_id: "wamid.in" },
        biz_opaque_callback_data: "evt_1/rule/0",
        type: "text",
        text: { body: "Oi", preview_url: false },
      },
    },
  ]);
});

const buttons = [
  { id: "y", title: "Yes" },
  { id: "n", title: "A title that is much too long 👍👍" },
];

test.each<[string, OutgoingContent, object]>([
  [
    "a template",
    {
      type: "template",
      name: "reminder",
      language: "pt_BR",
      body: ["Ana", "9:00"],
      components: [{ type: "button", index: "0" }],
    },
    {
      type: "template",
      template: {
        name: "reminder",
        language: { code: "pt_BR" },
        components: [
          {
            type: "body",
            parameters: [
              { type: "text", text: "Ana" },
              { type: "text", text: "9:00" },
            ],
          },
          { type: "button", index: "0" },
        ],
      },
    },
  ],
  [
    "a template without variables",
    { type: "template", name: "hello", language: "en" },
    { template: { name: "hello", language: { code: "en" } } },
  ],
  [
    "buttons",
    { type: "interactive", header: "Visit", body: "Come?", footer: "Clinic", choices: { kind: "buttons", buttons } },
    {
      type: "interactive",
      interactive: {
        type: "button",
        header: { type: "text", text: "Visit" },
        body: { text: "Come?" },
        footer: { text: "Clinic" },
        action: {
          buttons: [
            { type: "reply", reply: { id: "y", title: "Yes" } },
            { type: "reply", reply: { id: "n", title: "A title that is muc…" } },
          ],
        },
      },
    },
  ],
  [
    "a list",
    {
      type: "interactive",
      body: "When?",
      choices: { kind: "list", button: "Days", rows: [{ id: "m", title: "Mon", description: "9:00" }] },
    },
    {
      interactive: {
        type: "list",
        action: { button: "Days", sections: [{ rows: [{ id: "m", title: "Mon", description: "9:00" }] }] },
      },
    },
  ],
])("%s", async (_, content, body) => {
  expect(await send({ content })).toMatchObject({ ok: true });
  expect(seen[0]?.body).toMatchObject(body);
});

test("a user without a number is addressed by the user id, a group as a group, a linked id not at all", async () => {
  const lid = { kind: "lid", value: "123456", address: "123456" } as const;
  await send({ to: [lid, { kind: "bsuid", value: "BR.1", address: "BR.1" }] });
  await send({ to: [{ kind: "group", value: "G1", address: "G1" }] });
  expect(seen).toMatchObject([{ body: { recipient: "BR.1" } }, { body: { to: "G1", recipient_type: "group" } }]);
  expect(await send({ to: [lid] })).toMatchObject({
    ok: false,
    failure: { code: "unknown_recipient", retryable: false },
  });
  expect(seen).toHaveLength(2);
});

const refuse =
  (status: number, error: object, headers: Record<string, string> = {}) =>
  (response: ServerResponse) =>
    response.writeHead(status, headers).end(JSON.stringify({ error }));

test.each<[string, (response: ServerResponse) => void, object]>([
  [
    "the 24 h window is closed",
    refuse(400, { code: 131047, message: "Re-engagement message", error_data: { details: "24 hours" } }),
    {
      code: "window_closed",
      providerCode: 131047,
      retryable: false,
      message: "Re-engagement message: 24 hours",
      hint: expect.stringContaining("24 h"),
    },
  ],
  [
    "the user cannot receive it",
    refuse(400, { code: 131026, message: "x" }),
    { code: "unknown_recipient", retryable: false },
  ],
  [
    "a template that does not exist",
    refuse(404, { code: 132001, message: "x" }),
    { code: "template_refused", retryable: false },
  ],
  [
    "too many",
    refuse(429, { code: 130429, message: "x" }, { "retry-after": "3" }),
    { code: "rate_limited", retryable: true, uncertain: false, retryAfterMs: 3_000 },
  ],
  [
    "a token that has run out",
    refuse(401, { code: 190, message: `bad ${token}` }),
    { code: "unauthorised", retryable: false, message: "bad [token]" },
  ],
  [
    "a trouble of Meta's",
    refuse(500, { code: 131000, message: "x" }),
    { code: "provider_error", retryable: true, uncertain: false },
  ],
  [
    "a trouble of a proxy",
    (response) => response.writeHead(502).end("<html>"),
    { code: "provider_error", retryable: true, uncertain: true },
  ],
  [
    "a hang-up",
    (response) => response.destroy(),
    { code: "unreachable", retryable: true, uncertain: true, httpStatus: 0 },
  ],
  [
    "an answer without an id",
    (response) => response.end("{}"),
    { code: "not_understood", retryable: false, uncertain: true },
  ],
])("%s", async (_, how, failure) => {
  behave = how;
  expect(await send()).toMatchObject({ ok: false, failure });
  expect(seen).toHaveLength(1);
  expect(JSON.stringify(log.lines)).not.toContain(token);
});

test("silence ends at the time limit, and then nobody knows", async () => {
  behave = () => undefined;
  const sending = send();
  await expect.poll(() => seen.length).toBe(1);
  clock.advance(10_000);
  expect(await sending).toMatchObject({
    ok: false,
    failure: { code: "unreachable", uncertain: true, retryable: true },
  });
});

test("without a token or time nothing is sent", async () => {
  expect(await send({ channelId: "1" })).toMatchObject({ failure: { code: "unauthorised", retryable: false } });
  expect(await sender.send(message, clock.now())).toMatchObject({
    failure: { code: "timeout", retryable: true, uncertain: false },
  });
  expect(seen).toEqual([]);
});
