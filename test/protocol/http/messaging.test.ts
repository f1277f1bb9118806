import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Answer, API_KEY, FakeHouse, type RunningHttp, startHttp } from "#test/support/http.ts";
import { eventId, FakeRouter, id, OTHER_TENANT, TENANT } from "#test/support/http-router.ts";
import { tellStory } from "#test/support/http-router-story.ts";

let house: FakeHouse;
let router: FakeRouter;
let http: RunningHttp;

beforeEach(async () => {
  house = new FakeHouse();
  router = new FakeRouter(house.clock);
  tellStory(router);
  http = await startHttp(house, { router: router.parts() });
});

afterEach(() => http.server.stop());

const call = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> =>
  http.send(path, {
    method,
    headers: {
      authorization: `Bearer ${API_KEY}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });

describe("the gateway's webhook", () => {
  const post = (path: string, body: string, headers: Record<string, string> = {}) =>
    http.send(path, { method: "POST", body, headers: { "content-type": "application/json", ...headers } });

  test("hands on bytes, headers and the channel of the path", async () => {
    router.webhookAnswer = { ok: true, events: 2 };
    const answer = await post("/api/whatsapp/webhook/front-desk", '{"a":  1}', { "X-Webhook-Secret": "s" });
    expect(answer).toMatchObject({ status: 200, json: { ok: true, events: 2 } });
    await post("/api/whatsapp/webhook", "{");
    expect(router.webhooks.map(({ channel, body }) => [channel, body.toString()])).toEqual([
      ["front-desk", '{"a":  1}'],
      [undefined, "{"],
    ]);
    expect(router.webhooks[0]?.headers["x-webhook-secret"]).toBe("s");
  });

  test.each([401, 400, 404, 413, 503])("answers %i when told so", async (status) => {
    router.webhookAnswer = { ok: false, status, code: "why_not", message: "Because." };
    expect(await post("/api/whatsapp/webhook", "{}")).toMatchObject({ status, json: { error: { code: "why_not" } } });
  });

  test("takes 16 MB, and not more", async () => {
    expect((await post("/api/whatsapp/webhook", "x".repeat(16 * 1_048_576 + 1))).status).toBe(413);
    expect(router.webhooks).toEqual([]);
  });
});

test.each([
  ["GET", `/v1/channels/${id(99)}`],
  ["GET", `/v1/channels/${id(99)}/qr`],
  ["POST", `/v1/channels/${id(99)}/refresh`],
  ["GET", `/v1/conversations/${id(99)}`],
  ["GET", `/v1/conversations/${id(99)}/messages`],
  ["GET", `/v1/event-log/${eventId(99)}`],
  ["GET", `/v1/rules/${id(99)}`],
  ["GET", `/v1/rules/${id(99)}/history`],
  ["DELETE", `/v1/rules/${id(99)}`],
  ["GET", `/v1/endpoints/${id(99)}`],
  ["DELETE", `/v1/endpoints/${id(99)}`],
  ["POST", `/v1/endpoints/${id(99)}/rotate`],
  ["GET", `/v1/deliveries/${id(99)}`],
  ["POST", `/v1/deliveries/${id(99)}/replay`],
])("%s %s of what is not there is 404", async (method, path) => {
  expect((await call(method, path)).status).toBe(404);
});

test("shows nothing of another tenant", async () => {
  const foreign = router.parts();
  const other = await startHttp(house, { router: { ...foreign, tenantId: OTHER_TENANT } });
  const paths = ["channels", "conversations", "event-log", "rules", "endpoints", "deliveries"];
  const lists = await Promise.all(paths.map((path) => other.get(`/v1/${path}`)));
  const one = await Promise.all(
    [`channels/${id(1)}`, `conversations/${id(11)}`, `event-log/${eventId(51)}`, `deliveries/${id(71)}`].map((path) =>
      other.get(`/v1/${path}`),
    ),
  );
  await other.server.stop();
  expect(lists.map(({ json }) => Object.values(json as object).filter(Array.isArray))).toEqual(paths.map(() => [[]]));
  expect(one.map(({ status }) => status)).toEqual([404, 404, 404, 404]);
});

test("calls and their events are for the tenant that runs the daemon", async () => {
  const verify = async () => ({ id: "k2", name: "theirs", tenantId: OTHER_TENANT });
  const other = await startHttp(house, { router: router.parts(), apiKeys: { verify } });
  const paths = ["calls", "calls/1", "events", "channels"];
  const answers = await Promise.all(paths.map((path) => other.get(`/v1/${path}`)));
  const { url } = other;
  const ended = await fetch(`${url}/v1/calls/1/terminate`, { method: "POST", headers: { "x-api-key": "theirs" } });
  await other.server.stop();
  expect(answers.map(({ status }) => status)).toEqual([403, 403, 403, 200]);
  expect(answers[0]?.json).toMatchObject({ error: { code: "wrong_tenant" } });
  expect(ended.status).toBe(403);
});

describe("channels", () => {
  test("are listed, connected, shown with a code, and stopped", async () => {
    expect((await call("GET", "/v1/channels")).json).toMatchObject({
      can_connect: true,
      channels: [{ channel_id: "front-desk", state: "connected", phone: "5511987654321" }, { channel_id: "sales" }],
    });
    const made = await call("POST", "/v1/channels", { channel_id: "support", name: "Support" });
    expect(made).toMatchObject({ status: 201, json: { state: "qr", name: "Support" } });
    const { id: channel } = made.json as { id: string };
    const code = await call("GET", `/v1/channels/${channel}/qr`);
    expect(code.json).toMatchObject({ text: "2@code-number-1" });
    const { image } = code.json as { image: string };
    expect(Buffer.from(image.split(",")[1] ?? "", "base64").toString()).toMatch(/^<svg /);
    router.moveChannel(channel, "connected");
    expect(await call("GET", `/v1/channels/${channel}/qr`)).toMatchObject({
      status: 409,
      json: { error: { code: "already_connected" } },
    });
    expect((await call("PATCH", `/v1/channels/${channel}`, { name: "Help" })).json).toMatchObject({ name: "Help" });
    expect((await call("POST", `/v1/channels/${channel}/disable`)).json).toMatchObject({ enabled: false });
    router.channels.push({ ...router.moveChannel(id(1), "connected"), tenantId: OTHER_TENANT, channelId: "theirs" });
    expect(await call("POST", "/v1/channels", { channel_id: "theirs" })).toMatchObject({
      status: 409,
      json: { error: { code: "channel_taken" } },
    });
  });

  test("that nobody has show the operators what waits for them, and nobody else", async () => {
    router.parked.push({ provider: "cloud_api", channelId: "106540352242922", count: 3, since: 1_760_681_507_000 });
    expect(await call("GET", "/v1/channels/parked")).toMatchObject({
      status: 200,
      json: {
        parked: [{ provider: "cloud_api", channel_id: "106540352242922", count: 3, since: "2025-10-17T06:11:47.000Z" }],
      },
    });
    const apiKeys = { verify: async () => ({ id: "k2", name: "theirs", tenantId: OTHER_TENANT }) };
    const theirs = await startHttp(house, { router: router.parts(), apiKeys });
    const refused = await theirs.get("/v1/channels/parked");
    await theirs.server.stop();
    expect(refused).toMatchObject({ status: 403, json: { error: { code: "operators_only" } } });
  });

  test("cannot be connected without a gateway", async () => {
    const { onboarding: _, ...without } = router.parts();
    const bare = await startHttp(house, { router: without });
    const answer = await bare.send("/v1/channels", {
      method: "POST",
      body: "{}",
      headers: { "x-api-key": API_KEY, "content-type": "application/json" },
    });
    await bare.server.stop();
    expect(answer).toMatchObject({ status: 409, json: { error: { code: "no_gateway" } } });
  });
});

describe("conversations", () => {
  test("are listed by filter and page", async () => {
    const first = await call("GET", "/v1/conversations?limit=2");
    expect(first.json).toMatchObject({
      conversations: [{ contact: { name: "Ana Souza" }, unread: 2 }, { contact: { name: "Bruno Lima" } }],
      next: "2",
    });
    expect((await call("GET", "/v1/conversations?limit=2&cursor=2")).json).toMatchObject({
      conversations: [{ contact: { name: "Clínica Vida" } }],
    });
    const unread = (await call("GET", "/v1/conversations?unread=true")).json as { conversations: unknown[] };
    expect(unread.conversations).toHaveLength(2);
    expect((await call("GET", "/v1/conversations?unread=perhaps")).status).toBe(400);
    expect((await call("GET", "/v1/conversations?limit=0")).status).toBe(400);
    expect((await call("GET", "/v1/conversations?colour=red")).text).toContain("colour is not known");
  });

  test("show messages newest first, and are replied to by whoever has the key", async () => {
    expect((await call("GET", `/v1/conversations/${id(11)}/messages`)).json).toMatchObject({
      messages: [{ id: id(33) }, { id: id(32) }, { id: id(31), state: "read" }],
    });
    const content = { type: "text", text: "Yes, here is the key." };
    const answer = await call(
      "POST",
      `/v1/conversations/${id(11)}/messages`,
      { content, reply_to: "false_5511912345678@c.us_1" },
      { "idempotency-key": "r-1" },
    );
    expect(answer).toMatchObject({ status: 202, json: { state: "queued", author: "test", direction: "out" } });
    expect(router.sent).toEqual([
      {
        tenantId: TENANT,
        to: { conversationId: id(11) },
        content,
        by: "test",
        replyTo: "false_5511912345678@c.us_1",
        idempotencyKey: "r-1",
      },
    ]);
  });

  test("are read, assigned, given back and closed", async () => {
    const change = (body: object) => call("PATCH", `/v1/conversations/${id(11)}`, body);
    expect((await change({ read: true, assignee: "Marta" })).json).toMatchObject({ unread: 0, assignee: "Marta" });
    expect((await change({ assignee: null, state: "closed" })).json).not.toHaveProperty("assignee");
    expect((await change({})).status).toBe(400);
    expect((await change({ assignee: 5 })).text).toContain("assignee");
  });

  test.each([
    [{ content: { type: "text" } }, "content.text is missing"],
    [{ content: { type: "text", text: "" } }, "content.text"],
    [{ content: { type: "text", text: "x".repeat(4_097) } }, "content.text"],
    [{ content: { type: "image" } }, "content.type"],
    [{ content: { type: "text", text: "x", colour: 1 } }, "content.colour is not known"],
    [{}, "content is missing"],
  ])("refuse content, and name the field (%#)", async (body, expected) => {
    const answer = await call("POST", `/v1/conversations/${id(11)}/messages`, body);
    expect(answer.status).toBe(400);
    expect(answer.text).toContain(expected);
    expect(router.sent).toEqual([]);
  });

  test("begin with a number and a channel", async () => {
    const body = { phone: "+55 11 91234-5678", channel: id(1), content: { type: "text", text: "Hello" } };
    expect((await call("POST", "/v1/messages", body)).status).toBe(202);
    expect(router.sent[0]?.to).toEqual({ phone: "+55 11 91234-5678", channel: id(1) });
    expect(await call("POST", "/v1/messages", { ...body, channel: id(98) })).toMatchObject({
      status: 404,
      json: { error: { code: "channel_not_found" } },
    });
  });
});

describe("the event log", () => {
  test("is listed by filter, and an event shows what came of it", async () => {
    const list = (await call("GET", "/v1/event-log?status=processed&type=billing.*")).json as { events: object[] };
    expect(list.events).toMatchObject([{ event_id: eventId(51), type: "billing.invoice.overdue" }]);
    expect(list.events[0]).not.toHaveProperty("payload");
    expect((await call("GET", `/v1/event-log/${eventId(51)}`)).json).toMatchObject({
      event: { payload: { invoice: { id: 1042 } } },
      effects: [
        { kind: "send_message", state: "done", rule: { name: "Invoice reminder", version: 3 } },
        { kind: "webhook", state: "dead" },
      ],
      deliveries: [{ state: "dead", attempts: [{ status: 500 }, { error: "timeout", took_ms: 5000 }] }, {}],
      messages: [{ state: "read" }],
    });
  });

  test("is replayed: one, a list, a filter, never by accident all of it", async () => {
    expect(await call("POST", `/v1/event-log/${eventId(51)}/replay`, { repeat: true })).toMatchObject({
      status: 202,
      json: { replayed: 1 },
    });
    await call("POST", "/v1/event-log/replay", { event_ids: [eventId(51), eventId(52)] });
    await call("POST", "/v1/event-log/replay", { filter: { status: "dead", since: "2025-10-17T00:00:00Z" }, limit: 5 });
    expect(router.replays).toEqual([
      { tenantId: TENANT, eventIds: [eventId(51)], limit: 1, by: "test", repeat: true },
      { tenantId: TENANT, eventIds: [eventId(51), eventId(52)], limit: 1_000, by: "test" },
      { tenantId: TENANT, filter: { status: "dead", since: Date.UTC(2025, 9, 17) }, limit: 5, by: "test" },
    ]);
    expect((await call("POST", "/v1/event-log/replay", {})).status).toBe(400);
    expect((await call("POST", `/v1/event-log/${eventId(99)}/replay`, {})).status).toBe(404);
  });
});

describe("rules", () => {
  const draft = { name: "New", event_type: "call.missed", actions: [{ type: "inbox" }] };

  test("are made, changed by version, and removed, with their history", async () => {
    const made = await call("POST", "/v1/rules", draft);
    expect(made).toMatchObject({
      status: 201,
      json: { version: 1, enabled: true, priority: 100, on_match: "stop", updated_by: "test" },
    });
    const { id: rule } = made.json as { id: string };
    const change = (version: number) => call("PUT", `/v1/rules/${rule}`, { ...draft, enabled: false, version });
    expect((await change(1)).json).toMatchObject({ version: 2, enabled: false });
    expect(await change(1)).toMatchObject({ status: 409, json: { error: { code: "rule_changed" } } });
    expect((await call("DELETE", `/v1/rules/${rule}`)).status).toBe(204);
    expect((await call("GET", `/v1/rules/${rule}/history`)).json).toMatchObject({
      changes: [
        { change: "deleted", by: "test" },
        { change: "changed", version: 2 },
        { change: "created", version: 1 },
      ],
    });
    expect((await call("GET", "/v1/rules/history")).json).toMatchObject({ changes: [{}, {}, {}] });
  });

  test.each([
    [{ ...draft, actions: [] }, "actions"],
    [{ ...draft, actions: [{ type: "flow" }] }, "actions.0.type"],
    [{ ...draft, actions: [{ type: "inbox" }, { type: "webhook" }] }, "actions.1.endpoint_id is missing"],
    [{ ...draft, actions: [{ type: "send_message", content: { type: "text", text: 5 } }] }, "actions.0.content.text"],
    [{ ...draft, actions: [{ type: "drop", why: 1 }] }, "actions.0.why is not known"],
    [{ ...draft, priority: "high" }, "priority must be integer"],
    [{ ...draft, condition: "((" }, "condition Does not parse"],
    [
      { ...draft, hours: { timezone: "UTC", applies: "inside", weekly: [{ days: [8], from: "1", to: "2" }] } },
      "hours.",
    ],
  ])("refuse a rule, and name the field (%#)", async (body, expected) => {
    const answer = await call("POST", "/v1/rules", body);
    expect(answer.status).toBe(400);
    expect(answer.text).toContain(expected);
  });

  test("are tried without doing anything", async () => {
    router.report = {
      verdicts: [{ ruleId: id(41), ruleVersion: 3, name: "R", matched: true, reason: "matched", actions: [] }],
      effects: [{ ruleId: id(41), step: 0, action: { type: "drop" } }],
    };
    const event = { type: "call.missed", payload: { a: 1 }, source_system: "ponte" };
    expect((await call("POST", "/v1/rules/dry-run", { event, rules: [draft] })).json).toEqual({
      verdicts: [{ rule_id: id(41), rule_version: 3, name: "R", matched: true, reason: "matched", actions: [] }],
      effects: [{ rule_id: id(41), step: 0, action: { type: "drop" } }],
    });
    expect(router.trials).toMatchObject([
      {
        event: { type: "call.missed", payload: { a: 1 }, sourceSystem: "ponte" },
        rules: [{ eventType: "call.missed" }],
      },
    ]);
    const bad = { event, rules: [draft, { ...draft, condition: "((" }] };
    expect((await call("POST", "/v1/rules/dry-run", bad)).text).toContain("rules.1.condition");
  });
});

describe("endpoints", () => {
  test("show their secret once, and rotate it", async () => {
    const made = await call("POST", "/v1/endpoints", { url: "https://example.com/hook", events: ["call.*"] });
    const { endpoint, secret } = made.json as { endpoint: { id: string }; secret: string };
    expect(secret).toMatch(/^whsec_[\w-]{43}$/);
    expect((await call("GET", `/v1/endpoints/${endpoint.id}`)).text).not.toContain(secret);
    const rotated = await call("POST", `/v1/endpoints/${endpoint.id}/rotate`);
    const until = house.clock.now() + 86_400_000;
    expect(rotated.json).toMatchObject({ old_until: new Date(until).toISOString() });
    expect(router.rotations.at(-1)).toMatchObject({ id: endpoint.id, oldUntil: until });
    expect((await call("PATCH", `/v1/endpoints/${endpoint.id}`, { enabled: false })).json).toMatchObject({
      enabled: false,
      url: "https://example.com/hook",
    });
    expect((await call("DELETE", `/v1/endpoints/${endpoint.id}`)).status).toBe(204);
  });

  test.each([
    [{ url: "ftp://example.com/" }, 400, "invalid_request"],
    [{ url: "nonsense" }, 400, "invalid_request"],
    [{ url: "https://user:word@example.com/" }, 400, "invalid_request"],
    [{ url: "https://example.com/", allow_private: true }, 403, "private_not_allowed"],
    [{ url: "https://example.com/", events: ["Nope!"] }, 400, "invalid_request"],
    [{ url: "https://example.com/", events: ["call.*", "whatsapp.**"] }, 400, "invalid_request"],
    [{ url: "https://example.com/", events: ["bill*"] }, 400, "invalid_request"],
  ])("refuse %j", async (body, status, code) => {
    expect(await call("POST", "/v1/endpoints", body)).toMatchObject({ status, json: { error: { code } } });
  });

  test("ask the guard before an address is stored", async () => {
    const refuseUrl = async (url: string) => (url.includes("10.0.0.1") ? "a private address." : undefined);
    const guarded = await startHttp(house, { router: { ...router.parts(), refuseUrl } });
    const headers = { "x-api-key": API_KEY, "content-type": "application/json" };
    const refused = [
      await guarded.send("/v1/endpoints", { method: "POST", headers, body: '{"url":"http://10.0.0.1/"}' }),
      await guarded.send(`/v1/endpoints/${id(61)}`, { method: "PATCH", headers, body: '{"url":"http://10.0.0.1/"}' }),
    ];
    await guarded.server.stop();
    for (const answer of refused)
      expect(answer).toMatchObject({ status: 400, json: { error: { code: "refused_address" } } });
    expect(router.endpoints.map(({ url }) => url)).toEqual(["https://crm.example.com/hooks/ponte"]);
  });
});

test("deliveries are listed, and dead ones are tried again", async () => {
  expect((await call("GET", "/v1/deliveries?state=dead")).json).toMatchObject({ deliveries: [{ id: id(71) }] });
  expect((await call("POST", `/v1/deliveries/${id(72)}/replay`)).status).toBe(409);
  expect((await call("POST", `/v1/deliveries/${id(71)}/replay`)).json).toEqual({ replayed: 1 });
  expect(router.deliveries[0]?.state).toBe("pending");
  expect((await call("POST", "/v1/deliveries/replay", {})).status).toBe(400);
  expect((await call("POST", "/v1/deliveries/replay", { endpoint_id: id(61) })).json).toEqual({ replayed: 0 });
});

test("tells live what changes, to its own tenant only", async () => {
  const abort = new AbortController();
  const response = await fetch(`${http.url}/v1/live`, { headers: { "x-api-key": API_KEY }, signal: abort.signal });
  const reader = response.body?.getReader();
  let text = "";
  const until = async (end: string): Promise<void> => {
    while (!text.includes(end)) text += Buffer.from((await reader?.read())?.value ?? []).toString();
  };
  await until("connected\n\n");
  router.tell({ tenantId: OTHER_TENANT, kind: "channel", id: "theirs", state: "qr" });
  router.tell({ tenantId: TENANT, kind: "event", eventId: eventId(51), type: "call.missed", status: "dead" });
  router.receive(id(11), "hello");
  await until('"kind":"message"');
  expect(text).not.toContain("theirs");
  expect(text).toContain(`data: {"kind":"event","event_id":"${eventId(51)}","type":"call.missed","status":"dead"}\n\n`);
  abort.abort();
  await expect.poll(() => router.watchers.size).toBe(0);
});
