import { expect, test } from "vitest";
import { conversationKey, idempotencyKey, isEventType, isSourceSystem } from "#core/event/event.ts";
import { traceId, traceIdOf } from "#core/event/trace.ts";

test.each([
  ["whatsapp.inbound.message", true],
  ["call.missed", true],
  ["ping", true],
  ["Billing.Invoice", false],
  ["billing.*", false],
  ["billing..paid", false],
  [".billing", false],
  ["a:b", false],
  ["", false],
  ["a".repeat(129), false],
])("%j as an event type: %s", (text, is) => {
  expect(isEventType(text)).toBe(is);
});

test("no two different events have one key", () => {
  const of = (sourceSystem: string, externalId: string, type: string) =>
    idempotencyKey({ sourceSystem, externalId, type });
  expect(of("erp", "1:x", "y")).not.toBe(of("erp", "1", "x"));
  expect(isSourceSystem("erp:1")).toBe(false);
  expect(of("erp", "inv-1", "billing.invoice.overdue")).toBe("erp:inv-1:billing.invoice.overdue");
});

test("a conversation is one peer over one channel", () => {
  const peer = { kind: "phone", value: "5511987654321" };
  expect(conversationKey("wpp_gateway", "shop", peer)).toBe("wpp_gateway/shop/phone/5511987654321");
  expect(conversationKey("wpp_gateway", "shop", { ...peer, kind: "lid" })).not.toBe(
    conversationKey("wpp_gateway", "shop", peer),
  );
});

const trace = "0af7651916cd43dd8448eb211c80319c";

test.each([
  ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", trace],
  ["cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-brings", trace],
  ["ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", undefined],
  ["00-00000000000000000000000000000000-b7ad6b7169203331-01", undefined],
  ["00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", undefined],
  ["00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", undefined],
  ["00-0af7651916cd43dd8448eb211c80319c", undefined],
  [undefined, undefined],
])("W3C Trace Context §3.2: %s", (header, expected) => {
  expect(traceIdOf(header)).toBe(expected);
});

test("a new trace has 32 hexadecimal digits", () => {
  expect(traceId(Uint8Array.from({ length: 16 }, (_, n) => n))).toBe("000102030405060708090a0b0c0d0e0f");
});
