import { expect, test } from "vitest";
import { readReply } from "#router/webhooks/reply.ts";

const read = (document: unknown) =>
  readReply(Buffer.from(typeof document === "string" ? document : JSON.stringify(document)));
const endpoint = "0197a1b2-0000-7000-8000-000000000001";

test.each([
  [
    "a text",
    { reply: "We open at nine.\n{{not a variable}}" },
    [{ type: "send_message", content: { type: "text", text: "We open at nine.\n{{not a variable}}" } }],
  ],
  [
    "content",
    { reply: { type: "text", text: "Oi", preview_url: true, extra: 1 } },
    [{ type: "send_message", content: { type: "text", text: "Oi", preview_url: true } }],
  ],
  [
    "choices",
    {
      reply: {
        type: "interactive",
        body: "Come?",
        choices: { kind: "buttons", buttons: [{ id: "y", title: "Yes", evil: 1 }] },
      },
    },
    [
      {
        type: "send_message",
        content: {
          type: "interactive",
          body: "Come?",
          choices: { kind: "buttons", buttons: [{ id: "y", title: "Yes" }] },
        },
      },
    ],
  ],
  [
    "a template",
    {
      actions: [
        {
          type: "send_message",
          to: "+5511987654321",
          provider: "cloud_api",
          content: { type: "template", name: "hi", language: "pt_BR", body: ["Ana"] },
        },
      ],
    },
    [
      {
        type: "send_message",
        to: "+5511987654321",
        provider: "cloud_api",
        content: { type: "template", name: "hi", language: "pt_BR", body: ["Ana"] },
      },
    ],
  ],
  [
    "a reply before actions, without unknown fields",
    {
      reply: "Oi",
      actions: [
        { type: "inbox", assignee: "ana", tenant_id: "other" },
        { type: "webhook", endpoint_id: endpoint },
        { type: "log", level: "warn" },
        { type: "drop" },
      ],
    },
    [
      { type: "send_message", content: { type: "text", text: "Oi" } },
      { type: "inbox", assignee: "ana" },
      { type: "webhook", endpoint_id: endpoint },
      { type: "log", level: "warn" },
      { type: "drop" },
    ],
  ],
])("asks for %s", (_, document, actions) => {
  expect(read(document)).toEqual({ reply: { actions } });
});

test.each([
  [""],
  ["ok"],
  ["[]"],
  ["{}"],
  [{ reply: null }],
  [{ reply: "", actions: [] }],
  [{ status: "received" }],
  ["[".repeat(100_000)],
])("%j asks for nothing", (document) => {
  expect(read(document)).toEqual({});
});

test.each([
  [{ actions: {} }],
  [{ actions: ["drop"] }],
  [{ actions: [{ type: "shell", command: "rm" }] }],
  [{ actions: [{ type: "webhook", endpoint_id: "http://127.0.0.1/" }] }],
  [{ actions: [{ type: "send_message", provider: "smtp", content: { type: "text", text: "x" } }] }],
  [{ reply: { type: "text" } }],
  [{ reply: 7 }],
  [{ reply: "x".repeat(5_000) }],
  [{ reply: "Oi", actions: [{ type: "log", level: "fatal" }] }],
  [{ actions: Array(21).fill({ type: "drop" }) }],
])("with something wrong in it an answer asks for nothing, and says why: %#", (document) => {
  const { reply, problem } = read(document);
  expect(reply).toBeUndefined();
  expect(problem).toEqual(expect.any(String));
});
