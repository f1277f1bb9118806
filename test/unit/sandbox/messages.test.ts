import { beforeEach, describe, expect, test } from "vitest";
import { ana, Bench, number, otherNumber } from "./support.ts";

const HOUR_MS = 3_600_000;

let bench: Bench;

beforeEach(() => {
  bench = new Bench();
});

const text = (body: unknown, more: object = {}) => ({
  messaging_product: "whatsapp",
  to: ana.number,
  type: "text",
  text: { body },
  ...more,
});

interface Change {
  readonly field: string;
  readonly value: {
    readonly metadata: object;
    readonly statuses?: readonly object[];
    readonly messages?: readonly object[];
  };
}

/** `changes[]` of all webhooks, in their order. */
function changes(): readonly Change[] {
  return bench.deliveries.flatMap(
    ({ body }) =>
      (body as { readonly entry: readonly { readonly changes: readonly Change[] }[] }).entry[0]?.changes ?? [],
  );
}

const statuses = () => changes().flatMap(({ value }) => value.statuses ?? []);

/** What follows an answer takes some turns of the loop. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

test("what a user writes comes in the field messages, with number and user id", () => {
  const { id } = bench.messages.say(ana, number.phoneNumberId, "olá");
  expect(changes()).toMatchObject([
    {
      field: "messages",
      value: {
        metadata: { phone_number_id: number.phoneNumberId },
        messages: [{ from: ana.number, from_user_id: ana.userId, id, type: "text", text: { body: "olá" } }],
      },
    },
  ]);
});

test("an answer within 24 h arrives, its statuses follow, and `read` when it is read", async () => {
  bench.messages.say(ana, number.phoneNumberId, "olá");
  const { status, body } = bench.postMessage(text("bom dia", { biz_opaque_callback_data: "key" }));
  expect(status).toBe(200);
  const [sent] = bench.messages.sent();
  expect(body).toEqual({
    messaging_product: "whatsapp",
    contacts: [{ input: ana.number, wa_id: ana.number }],
    messages: [{ id: sent?.id }],
  });
  expect(sent).toMatchObject({ to: ana.number, type: "text", text: "bom dia", arrived: true });
  await settled();
  await bench.messages.read(sent?.id ?? "");
  expect(statuses()).toMatchObject(
    ["sent", "delivered", "read"].map((each) => ({
      id: sent?.id,
      status: each,
      recipient_id: ana.number,
      biz_opaque_callback_data: "key",
    })),
  );
});

describe("the window", () => {
  const fails = async (id = number.phoneNumberId): Promise<void> => {
    expect(bench.postMessage(text("hello"), { id }).status).toBe(200);
    await settled();
    expect(bench.messages.sent().at(-1)).toMatchObject({ arrived: false });
    expect(statuses().at(-1)).toMatchObject({ status: "failed", errors: [{ code: 131047 }] });
  };

  test("is closed for those who never wrote, and there nobody reads anything", async () => {
    await fails();
    expect(() => bench.messages.read(bench.messages.sent()[0]?.id ?? "")).toThrow(RangeError);
  });

  test("closes after 24 h", async () => {
    bench.messages.say(ana, number.phoneNumberId, "olá");
    bench.clock.advance(24 * HOUR_MS);
    await fails();
  });

  test("is that of one number only", async () => {
    bench.messages.say(ana, number.phoneNumberId, "olá");
    await fails(otherNumber.phoneNumberId);
  });

  test("does not hold templates back", async () => {
    const template = { name: "missed_call", language: { code: "pt_BR" } };
    const { status } = bench.postMessage({ messaging_product: "whatsapp", to: ana.number, type: "template", template });
    expect(status).toBe(200);
    await settled();
    expect(statuses()).toMatchObject([{ status: "sent" }, { status: "delivered" }]);
  });
});

test.each([
  ["no token", text("x"), { token: "Bearer other" }, 401, 190],
  ["another number's id", text("x"), { id: "12345" }, 400, 100],
  ["no JSON", "to=5511", {}, 400, 100],
  ["no product", { to: "5511", text: { body: "x" } }, {}, 400, 100],
  ["no recipient", text("x", { to: undefined }), {}, 400, 100],
  ["an empty text", text(""), {}, 400, 100],
  ["a text of 4097 characters", text("x".repeat(4_097)), {}, 400, 100],
  ["a type that is not simulated", text("x", { type: "image" }), {}, 400, 100],
  ["a template without a language", text("x", { type: "template", template: { name: "a" } }), {}, 400, 100],
  ["an interactive message without an action", text("x", { type: "interactive", interactive: {} }), {}, 400, 100],
])("%s is refused, and nobody gets anything", (_what, body, more, status, code) => {
  expect(bench.postMessage(body, more)).toMatchObject({ status, body: { error: { code } } });
  expect(bench.messages.sent()).toEqual([]);
});
