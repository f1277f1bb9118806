import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { PonteError } from "#core/error.ts";
import { API_KEY, FakeHouse, type RunningHttp, startHttp } from "#test/support/http.ts";
import { FakeRouter, INGESTION_SECRET, OTHER_TENANT, TENANT } from "#test/support/http-router.ts";

let house: FakeHouse;
let router: FakeRouter;
let http: RunningHttp;

beforeEach(async () => {
  house = new FakeHouse();
  router = new FakeRouter(house.clock);
  http = await startHttp(house, { router: router.parts() });
});

afterEach(() => http.server.stop());

const overdue = {
  event_type: "billing.invoice.overdue",
  source_system: "billing",
  external_id: "inv-1042",
  payload: { invoice: { id: 1042 }, customer: { phone: "+55 11 91234-5678" } },
};

const withSecret = { "x-event-ingestion-secret": INGESTION_SECRET };

function post(body: unknown, headers: Record<string, string> = withSecret) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return http.send("/api/events", {
    method: "POST",
    body: text,
    headers: { "content-type": "application/json", ...headers },
  });
}

const stored = () => [...router.accepted.values()];

describe("who may tell", () => {
  test.each([
    ["the secret as its header", withSecret],
    ["the secret as bearer token", { authorization: `Bearer ${INGESTION_SECRET}` }],
    ["an API key as bearer token", { authorization: `Bearer ${API_KEY}` }],
    ["an API key as header", { "x-api-key": API_KEY }],
  ])("%s", async (_what, headers) => {
    expect((await post(overdue, headers)).status).toBe(200);
    expect(stored()).toMatchObject([{ tenantId: TENANT, type: "billing.invoice.overdue" }]);
  });

  test.each([
    ["nothing", {}, "api_key_missing"],
    ["a wrong secret", { "x-event-ingestion-secret": "wrong" }, "api_key_wrong"],
    ["a secret with more behind it", { "x-event-ingestion-secret": `${INGESTION_SECRET}x` }, "api_key_wrong"],
    ["a wrong key", { "x-api-key": "wrong" }, "api_key_wrong"],
  ])("not with %s", async (_what, headers, code) => {
    expect(await post(overdue, headers)).toMatchObject({ status: 401, json: { error: { code } } });
    expect(stored()).toEqual([]);
  });

  test("refuses an address that guesses", async () => {
    for (let i = 0; i < 20; i++) await post(overdue, { "x-event-ingestion-secret": `guess ${i}` });
    expect(await post(overdue)).toMatchObject({ status: 429, json: { error: { code: "too_many_failed_attempts" } } });
  });

  test("an API key speaks for its own tenant only", async () => {
    const foreign = { ...overdue, tenant_id: OTHER_TENANT };
    expect(await post(foreign, { "x-api-key": API_KEY })).toMatchObject({
      status: 403,
      json: { error: { code: "wrong_tenant" } },
    });
    expect(stored()).toEqual([]);
    expect((await post(foreign)).status).toBe(200);
    expect(stored()[0]?.tenantId).toBe(OTHER_TENANT);
  });
});

test("nobody speaks for a tenant that does not exist, not in a batch either", async () => {
  const lost = { ...overdue, tenant_id: "0192e4a0-0000-7000-8000-00000000beef" };
  const refused = { status: 400, json: { error: { message: "Body field tenant_id is no tenant." } } };
  expect(await post(lost)).toMatchObject(refused);
  expect(await post([overdue, lost])).toMatchObject(refused);
  expect(stored()).toEqual([]);
});

describe("what is told", () => {
  test("one event is answered with its ids, and is a duplicate the second time", async () => {
    const first = await post(overdue);
    const [event] = stored();
    expect(first.json).toEqual({
      event_id: event?.eventId,
      trace_id: event?.traceId,
      duplicate: false,
      conflict: false,
    });
    expect(event?.eventId).toMatch(/^evt_[0-9a-f-]{36}$/);
    expect((await post(overdue)).json).toEqual({ ...(first.json as object), duplicate: true });
    const other = await post({ ...overdue, payload: { invoice: { id: 1042, amount: 7 } } });
    expect(other.json).toEqual({ ...(first.json as object), duplicate: true, conflict: true });
  });

  test("several are answered in their order", async () => {
    const second = { ...overdue, external_id: "inv-1043" };
    const list = await post([overdue, second, overdue]);
    expect(list.json).toMatchObject({ events: [{ duplicate: false }, { duplicate: false }, { duplicate: true }] });
    expect((await post({ events: [second] })).json).toMatchObject({ events: [{ duplicate: true }] });
  });

  test("takes the trace from traceparent, or from the event itself", async () => {
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    await post(overdue, { ...withSecret, traceparent });
    expect(stored()[0]?.traceId).toBe("0af7651916cd43dd8448eb211c80319c");
    await post({ ...overdue, external_id: "b", trace_id: "1".repeat(32) }, { ...withSecret, traceparent });
    expect(stored()[1]?.traceId).toBe("1".repeat(32));
    await post({ ...overdue, external_id: "c" }, { ...withSecret, traceparent: "00-nonsense" });
    expect(stored()[2]?.traceId).toMatch(/^[0-9a-f]{32}$/);
  });

  test("leaves values as they were sent", async () => {
    const payload = { number: 5, text: "5", nothing: null, list: [1, "1", { deep: true }], unicode: "é\u{1F600}" };
    await post({ ...overdue, payload, payload_version: 4, occurred_at: "2026-01-02T03:04:05-03:00" });
    expect(stored()[0]).toMatchObject({ payload, payloadVersion: 4, occurredAt: Date.UTC(2026, 0, 2, 6, 4, 5) });
  });

  const { external_id: _, ...anonymous } = overdue;
  test.each([
    ["Idempotency-Key", anonymous, { "idempotency-key": "key-1" }, "key-1"],
    ["payload.event_id", { ...anonymous, payload: { event_id: "e-1", id: "p-1" } }, {}, "e-1"],
    ["payload.id", { ...anonymous, payload: { id: 17 } }, {}, "17"],
  ])("without an external id takes %s", async (_what, body, headers, expected) => {
    await post(body, { ...withSecret, ...headers });
    expect(stored()[0]?.externalId).toBe(expected);
  });

  test("without any id, the same content is the same event and other content is not", async () => {
    await post({ ...anonymous, payload: { a: 1, b: { c: 2, d: 3 } } });
    expect((await post({ ...anonymous, payload: { b: { d: 3, c: 2 }, a: 1 } })).json).toMatchObject({
      duplicate: true,
    });
    expect((await post({ ...anonymous, payload: { a: 2 } })).json).toMatchObject({ duplicate: false });
    expect(stored()[0]?.externalId).toMatch(/^sha256:[0-9a-f]{64}$/);
  });
});

describe("a 400 names the field", () => {
  const { event_type: _type, ...typeless } = overdue;
  test.each([
    ["a missing type", typeless, "event_type is missing"],
    ["a type with capitals", { ...overdue, event_type: "Billing.Overdue" }, "event_type"],
    ["a type that is a number", { ...overdue, event_type: 5 }, "event_type must be string"],
    ["an unknown field", { ...overdue, extra: 1 }, "extra is not known"],
    ["no payload", { ...overdue, payload: undefined }, "payload is missing"],
    ["a payload that is a list", { ...overdue, payload: [] }, "payload must be object"],
    ["an empty id", { ...overdue, external_id: "" }, "external_id"],
    ["a time that is none", { ...overdue, occurred_at: "yesterday" }, "occurred_at"],
    ["a source that is ponte's own", { ...overdue, source_system: "wpp_gateway" }, "source_system"],
    ["a trace of zeros", { ...overdue, trace_id: "0".repeat(32) }, "trace_id"],
    ["a channel of nobody", { ...overdue, channel: { provider: "telegram", id: "1" } }, "channel.provider"],
    ["the second of a list", [overdue, { ...overdue, payload: 1 }], "events.1.payload must be object"],
    ["an empty list", [], "events must hold 1 to 500"],
    ["too many", Array.from({ length: 501 }, () => overdue), "events must hold 1 to 500"],
    ["a text", '"hello"', "Body must be object"],
    ["null", "null", "Body"],
  ])("%s", async (_what, body, expected) => {
    const answer = await post(body);
    expect(answer).toMatchObject({ status: 400, json: { error: { code: "invalid_request" } } });
    expect(answer.text).toContain(expected);
    expect(stored()).toEqual([]);
  });

  test.each([
    ["not JSON", "{", 400],
    ["proto keys", '{"__proto__":{"a":1}}', 400],
    ["nested beyond measure", `${"[".repeat(100_000)}${"]".repeat(100_000)}`, 400],
    ["objects nested beyond measure", `{"payload":${'{"a":'.repeat(100)}1${"}".repeat(100)}}`, 400],
    ["larger than 1 MB", JSON.stringify({ ...overdue, payload: { text: "x".repeat(1_048_576) } }), 413],
  ])("refuses %s", async (_what, body, status) => {
    expect((await post(body)).status).toBe(status);
    expect(stored()).toEqual([]);
  });

  test("refuses another type of body", async () => {
    expect((await post("a=b", { ...withSecret, "content-type": "application/x-www-form-urlencoded" })).status).toBe(
      415,
    );
  });
});

test.each([
  ["store_unavailable", true, 503],
  ["store_overloaded", true, 503],
  ["event_refused", false, 400],
])("answers %s as it should", async (code, retryable, status) => {
  router.storeFailure = new PonteError(code, "secret words", { retryable });
  const answer = await post(overdue);
  expect(answer).toMatchObject({ status, json: { error: { code } } });
  expect(answer.text).not.toContain("secret words");
});

test("publishes the schema of an event without a key", async () => {
  const answer = await http.send("/api/events/schema.json", {});
  expect(answer).toMatchObject({
    status: 200,
    json: {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "object",
      required: ["event_type", "source_system", "payload"],
      additionalProperties: false,
    },
  });
});

test("a server without a router has none of it", async () => {
  const bare = await startHttp(new FakeHouse());
  const answers = await Promise.all(
    ["/api/events", "/api/whatsapp/webhook", "/v1/rules", "/session", "/"].map((path) => bare.get(path)),
  );
  await bare.server.stop();
  expect(answers.map(({ status }) => status)).toEqual([404, 404, 404, 404, 404]);
});
