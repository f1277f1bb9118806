import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { CommunicationEvent } from "#core/event/event.ts";
import type { Endpoint } from "#router/ports.ts";
import type { WebhookDeliveryOptions } from "#router/webhooks/delivery.ts";
import { refuseUrl, WebhookDelivery } from "#router/webhooks/delivery.ts";
import { webhookSignatureFits } from "#router/webhooks/signature.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { quietLog } from "#test/support/quiet-log.ts";
import { cert, key } from "./certificate.ts";

const event = {
  eventId: "evt_0197a1b2-0000-7000-8000-000000000001",
  traceId: "0af7651916cd43dd8448eb211c80319c",
  tenantId: "tenant-1",
  sourceSystem: "wpp_gateway",
  externalId: "clinic/m1",
  type: "whatsapp.inbound.message",
  payload: { content: { type: "text", text: "Olá" } },
  payloadVersion: 1,
  raw: { internal: true },
  provider: "wpp_gateway",
  channelId: "clinic",
  conversationKey: "k",
  occurredAt: 1_760_681_500_000,
  receivedAt: 1_760_681_501_000,
  status: "routed",
} as unknown as CommunicationEvent;

interface Seen {
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

let server: Server;
let port: number;
let seen: Seen[];
let connections: number;
let behave: (response: ServerResponse) => void;
let clock: FakeClock;
let log: ReturnType<typeof quietLog>;
let delivery: WebhookDelivery;

beforeEach(async () => {
  [seen, connections] = [[], 0];
  behave = (response) => response.writeHead(204).end();
  server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    seen.push({ headers: request.headers, body: Buffer.concat(chunks) });
    behave(response);
  });
  server.on("connection", () => connections++);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as AddressInfo).port;
  clock = new FakeClock();
  log = quietLog();
  delivery = make();
});

afterEach(async () => {
  delivery.stop();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  expect(clock.pending).toBe(0);
});

function make(options: Partial<WebhookDeliveryOptions> = {}): WebhookDelivery {
  return new WebhookDelivery({ allowPrivate: true, timeoutMs: 5_000, clock, log, ...options });
}

function deliver(endpoint: Partial<Endpoint> = {}, secrets: readonly string[] = ["s1"], by = delivery) {
  const url = `http://127.0.0.1:${port}/hook`;
  return by.deliver(
    event,
    { id: "e1", url, allowPrivate: true, ...endpoint } as Endpoint,
    secrets,
    clock.now() + 20_000,
  );
}

test("sends the event, signed with both secrets, and the same bytes at every attempt", async () => {
  expect(await deliver({}, ["new", "old"])).toEqual({ ok: true, attempt: { at: clock.now(), tookMs: 0, status: 204 } });
  clock.advance(60_000);
  await deliver({}, ["new", "old"]);
  const [first, second] = seen;
  if (first === undefined || second === undefined) throw new Error("two requests were expected");
  expect(second.body).toEqual(first.body);
  expect(JSON.parse(first.body.toString())).toEqual({
    id: event.eventId,
    type: event.type,
    tenant_id: "tenant-1",
    source_system: "wpp_gateway",
    external_id: "clinic/m1",
    trace_id: event.traceId,
    provider: "wpp_gateway",
    channel_id: "clinic",
    occurred_at: "2025-10-17T06:11:40.000Z",
    received_at: "2025-10-17T06:11:41.000Z",
    payload_version: 1,
    payload: event.payload,
  });
  expect(first.headers).toMatchObject({ "ponte-event-id": event.eventId, "content-type": "application/json" });
  expect(first.headers["traceparent"]).toMatch(/^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01$/);
  for (const { headers, body } of seen)
    for (const secret of ["new", "old"]) {
      const header = headers["ponte-signature"];
      expect(
        webhookSignatureFits(body, typeof header === "string" ? header : undefined, secret, clock.now() / 1_000 - 30),
      ).toBe(true);
    }
  expect(first.headers["ponte-signature"]).not.toBe(second.headers["ponte-signature"]);
  expect(connections).toBe(1);
});

test("an answer may carry a reply", async () => {
  behave = (response) => response.writeHead(200).end(JSON.stringify({ reply: "Oi" }));
  expect(await deliver()).toMatchObject({
    ok: true,
    reply: { actions: [{ type: "send_message", content: { type: "text", text: "Oi" } }] },
  });
});

test("an answer that asks for nonsense is delivered, noted, and does nothing", async () => {
  behave = (response) => response.writeHead(200).end(JSON.stringify({ actions: [{ type: "shell" }] }));
  const outcome = await deliver();
  expect(outcome).toMatchObject({ ok: true, attempt: { error: "bad_reply" } });
  expect(outcome).not.toHaveProperty("reply");
});

test.each([
  [500, {}, { retryable: true }],
  [404, {}, { retryable: true }],
  [410, {}, { retryable: false }],
  [302, { location: "http://169.254.169.254/" }, { retryable: true }],
  [503, { "retry-after": "120" }, { retryable: true, retryAfterMs: 120_000 }],
  [429, { "retry-after": "99999" }, { retryable: true, retryAfterMs: 3_600_000 }],
])("status %i %j", async (status, headers, expected) => {
  behave = (response) => response.writeHead(status, headers).end(JSON.stringify({ reply: "Oi" }));
  const outcome = await deliver();
  expect(outcome).toMatchObject({ ok: false, attempt: { status, error: "status" }, ...expected });
  expect(seen).toHaveLength(1);
});

test("the kept answer is short and without secrets", async () => {
  behave = (response) =>
    response.writeHead(400).end(`you sent s1-very-secret, token=abcdef123456 ${"x".repeat(5_000)}`);
  const { attempt } = await deliver({}, ["s1-very-secret"]);
  expect(attempt.response).toMatch(/^you sent \[secret\], token=\[secret\] x+$/);
  expect(attempt.response).toHaveLength(1_000);
});

test("an endless answer is cut off", async () => {
  behave = (response) => {
    const more = () => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536, 120)));
    };
    response.on("drain", more);
    more();
  };
  expect(await deliver()).toMatchObject({ ok: true, attempt: { status: 200 } });
});

test.each([
  ["connection_lost", (response: ServerResponse) => response.destroy()],
  ["bad_answer", (response: ServerResponse) => response.socket?.end("HELLO\r\n\r\n")],
])("%s is tried again", async (error, how) => {
  behave = how;
  expect(await deliver()).toMatchObject({ ok: false, attempt: { error }, retryable: true });
});

test("silence ends at the time limit", async () => {
  behave = () => undefined;
  const waiting = deliver();
  await expect.poll(() => seen.length).toBe(1);
  clock.advance(5_000);
  expect(await waiting).toMatchObject({ ok: false, attempt: { error: "timeout", tookMs: 5_000 }, retryable: true });
});

test("a resolver that never answers ends at the time limit as well", async () => {
  const slow = make({ resolve: () => new Promise(() => undefined) });
  const waiting = deliver({ url: "http://hooks.example.com/" }, ["s"], slow);
  clock.advance(5_000);
  expect(await waiting).toMatchObject({ ok: false, attempt: { error: "timeout" } });
  slow.stop();
});

test.each([
  ["a private address", { url: "https://127.0.0.1/", allowPrivate: false }, true],
  ["a private address that only the endpoint allows", { allowPrivate: true, url: "https://127.0.0.1/" }, false],
  ["a name that has moved inside", { url: "https://hooks.example.com/", allowPrivate: false }, true],
])("does not dial %s", async (_, endpoint, allowPrivate) => {
  const guarded = make({ allowPrivate, resolve: async () => ["127.0.0.1"] });
  expect(await deliver(endpoint, ["s"], guarded)).toMatchObject({
    ok: false,
    attempt: { error: "refused_address" },
    retryable: false,
  });
  expect(connections).toBe(0);
  guarded.stop();
});

test("dials the address that was checked, and asks for the name once", async () => {
  let asked = 0;
  // The second answer would be another machine.
  const rebinding = make({ resolve: async () => (++asked === 1 ? ["127.0.0.1"] : ["203.0.113.7"]) });
  expect(await deliver({ url: `http://hooks.example.invalid:${port}/hook` }, ["s"], rebinding)).toMatchObject({
    ok: true,
  });
  expect([asked, seen[0]?.headers.host]).toEqual([1, `hooks.example.invalid:${port}`]);
  rebinding.stop();
});

/** A server with TLS on a free port, for one test. */
async function withTls(use: (port: number, asked: () => number) => Promise<void>): Promise<void> {
  let asked = 0;
  const secure = createSecureServer({ cert, key }, (_request, response) => {
    asked++;
    response.end("{}");
  });
  await new Promise<void>((resolve) => secure.listen(0, "127.0.0.1", resolve));
  try {
    await use((secure.address() as AddressInfo).port, () => asked);
  } finally {
    secure.closeAllConnections();
    await new Promise((resolve) => secure.close(resolve));
  }
}

test("with TLS the name is proved, though the address is pinned", () =>
  withTls(async (tlsPort, asked) => {
    const trusting = make({ ca: cert, resolve: async () => ["127.0.0.1"] });
    expect(await deliver({ url: `https://hooks.example.test:${tlsPort}/` }, ["s"], trusting)).toMatchObject({
      ok: true,
    });
    const doubting = make({ resolve: async () => ["127.0.0.1"] });
    for (const [name, by] of [
      ["other.example.test", trusting],
      ["hooks.example.test", doubting],
    ] as const) {
      const outcome = await deliver({ url: `https://${name}:${tlsPort}/` }, ["s"], by);
      expect(outcome).toMatchObject({ ok: false, attempt: { error: "certificate" }, retryable: true });
    }
    doubting.stop();
    expect(asked()).toBe(1);
    trusting.stop();
  }));

test("nobody listens", async () => {
  const { port: free } = await freePort();
  expect(await deliver({ url: `http://127.0.0.1:${free}/` })).toMatchObject({
    ok: false,
    attempt: { error: "connection_refused" },
    retryable: true,
  });
});

async function freePort(): Promise<{ readonly port: number }> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const address = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return address;
}

test("without a secret nothing is sent", async () => {
  expect(await deliver({}, [])).toMatchObject({ ok: false, attempt: { error: "no_secret" }, retryable: false });
  expect(seen).toEqual([]);
});

test("stopping gives up what is under way", async () => {
  behave = () => undefined;
  const waiting = deliver();
  await expect.poll(() => seen.length).toBe(1);
  delivery.stop();
  delivery.stop();
  expect(await waiting).toMatchObject({ ok: false, attempt: { error: "stopped" }, retryable: true });
});

test("tells whoever saves an address why it is refused", async () => {
  expect(await refuseUrl("https://127.0.0.1/", false)).toContain("public internet");
  expect(await refuseUrl("https://hooks.example.com/", false, async () => ["93.184.216.34"])).toBeUndefined();
});
