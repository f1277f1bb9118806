import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { writeWhatsAppAnswer } from "#core/sdp/whatsapp-answer.ts";
import { readWhatsAppOffer } from "#core/sdp/whatsapp-offer.ts";
import type { GraphOutcome, MetaCallEvent, WebhookInboxPort } from "#engine/ports.ts";
import { systemClock } from "#engine/system-clock.ts";
import type { Fault } from "#sandbox/meta/faults.ts";
import { type MetaOptions, SimulatedMeta } from "#sandbox/meta/meta.ts";
import type { Modes } from "#sandbox/meta/modes.ts";
import type { WhatsAppUser } from "#sandbox/meta/numbers.ts";
import type { RelayPort } from "#sandbox/relay/ports.ts";
import { sdpFixture } from "#test/support/fixtures/sdp/read.ts";
import { quietLog } from "#test/support/quiet-log.ts";
import { GraphClient } from "#whatsapp/graph.ts";
import { WebhookReceiver } from "#whatsapp/receiver.ts";

/** The WhatsApp edge against the simulated Meta over loopback: webhooks in, answers out, no media. */

const phoneNumberId = "436666719526789";
const ana: WhatsAppUser = {
  number: "5511987654321",
  profileName: "Ana",
  username: "ana.s",
  userId: "BR.13491208655302741918",
};

/** Its offers are Meta's own, in both shapes; packets are somebody else's test. */
const relay: RelayPort = {
  start: () => Promise.resolve(),
  stop: () => Promise.resolve(),
  open: (modes) => ({
    offer: sdpFixture(modes.offerShape === "older" ? "meta-older" : "meta-2025"),
    answer: () => undefined,
    accept: () => undefined,
    sendRtp: () => undefined,
    statistics: () => ({ fromBusiness: 0, toBusiness: 0, heldBack: 0, lost: 0, digits: "" }),
    close: () => undefined,
  }),
};

const transport = {
  ufrag: "X1ho",
  pwd: "7fJSbV2N5qWiA5QiDKwK3vuh",
  lite: false,
  fingerprint: { algorithm: "sha-256", value: Array(32).fill("AB").join(":") },
  candidates: [
    { foundation: "1", component: 1, priority: 1, address: "203.0.113.10", port: 51_420, type: "host" as const },
  ],
};

let meta: SimulatedMeta;
let server: Server;
let receiver: WebhookReceiver;
let graph: GraphClient;
let events: MetaCallEvent[];
let outcomes: GraphOutcome[];
let stored: Set<string>;
/** How many times the inbox shall fail. */
let failures: number;

/** What the engine does with an offer, without its PBX: answers it at once. */
async function take(event: MetaCallEvent): Promise<void> {
  events.push(event);
  if (event.type !== "offer") return;
  const { channelId, wacid, sdp } = event.offer;
  const offer = readWhatsAppOffer(sdp);
  if (!offer.ok) throw new Error(offer.problem.text);
  const answer = writeWhatsAppAnswer(offer.value, transport, { ssrc: 1, cname: "ponte", sessionId: "1" });
  const deadline = systemClock.now() + 10_000;
  outcomes.push(await graph.preAccept(channelId, wacid, answer, deadline));
  outcomes.push(await graph.accept(channelId, wacid, answer, deadline));
}

const inbox: WebhookInboxPort = {
  accept: async (_source, body) => {
    if (failures-- > 0) throw new Error("store_unavailable");
    const id = body.toString("base64");
    const duplicate = stored.has(id);
    stored.add(id);
    return { id, duplicate };
  },
  unprocessed: () => Promise.resolve([]),
  done: () => undefined,
};

async function start(options: Partial<MetaOptions> = {}): Promise<void> {
  meta = new SimulatedMeta({
    relay,
    numbers: [{ phoneNumberId, displayPhoneNumber: "15551440000", wabaId: "366634483210360" }],
    accessToken: "EAAtoken",
    webhookTimings: { retryDelaysMs: [10, 10, 10] },
    ...options,
  });
  const { graphUrl } = await meta.start();
  graph = new GraphClient(
    { baseUrl: graphUrl, version: "v23.0", channels: new Map([[phoneNumberId, "EAAtoken"]]), requestTimeoutMs: 300 },
    { clock: systemClock, log: quietLog(), random: () => 0.5 },
  );
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}/webhooks/meta`;
  expect(await meta.subscribe({ url, verifyToken: "verify", appSecret: "secret" })).toBe(true);
}

beforeEach(async () => {
  [events, outcomes, stored, failures] = [[], [], new Set(), 0];
  receiver = new WebhookReceiver({
    inbox,
    engine: { take },
    secrets: ["newer secret", "secret"],
    verifyToken: "verify",
    log: quietLog(),
    clock: systemClock,
  });
  server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const query = new URL(request.url ?? "", "http://localhost").searchParams;
    const signature = request.headers["x-hub-signature-256"]?.toString();
    const { status, body } =
      request.method === "GET"
        ? receiver.verify({
            mode: query.get("hub.mode") ?? "",
            token: query.get("hub.verify_token") ?? "",
            challenge: query.get("hub.challenge") ?? "",
          })
        : await receiver.receive(Buffer.concat(chunks), signature);
    response.writeHead(status).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});

afterEach(async () => {
  await meta.stop();
  await receiver.stop();
  await graph.stop();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

/** Places a call and hangs up when the business has picked up. Resolves with what the phone saw. */
function call(user: WhatsAppUser, modes: Partial<Modes> = {}): Promise<readonly string[]> {
  const seen: string[] = [];
  return new Promise((resolve) => {
    const placed = meta.placeCall(
      { user, phoneNumberId, ctaPayload: "button/1", modes },
      {
        onRinging: () => void seen.push("ringing"),
        onPickedUp: () => {
          seen.push("picked up");
          setImmediate(() => placed.hangUp());
        },
        onEnded: (end) => {
          seen.push(end.reason);
          resolve(seen);
        },
        onRtp: () => undefined,
      },
    );
  });
}

const breaches = () => meta.log.entries().filter(({ kind }) => kind === "violation");
const wordsOf = () => events.map((event) => (event.type === "ignored" ? event.what : event.type));

async function settled(): Promise<void> {
  await meta.idle();
  await receiver.stop();
}

test.each<[string, Partial<Modes>, readonly string[]]>([
  ["today's offer", {}, ["offer", "terminate"]],
  ["an older offer", { offerShape: "older" }, ["offer", "terminate"]],
  ["every event three times", { duplicates: 2 }, ["offer", "terminate"]],
  ["no direction", { direction: "absent" }, ["offer", "terminate"]],
  ["no contacts", { contacts: "absent" }, ["offer", "terminate"]],
  ["a BSUID only", { caller: "bsuid_only" }, ["offer", "terminate"]],
  ["status as a list", { status: "array" }, ["offer", "terminate"]],
  ["status in mixed case", { status: "mixed_case" }, ["offer", "terminate"]],
])("answers a call with %s, without breaking a rule of Meta's", async (_, modes, words) => {
  await start();
  expect(await call(ana, modes)).toEqual(["ringing", "picked up", "hung_up"]);
  await settled();
  expect(breaches()).toEqual([]);
  expect(outcomes).toMatchObject([
    { ok: true, attempts: 1 },
    { ok: true, attempts: 1 },
  ]);
  expect(wordsOf()).toEqual(words);
  const [offer, end] = events;
  expect(offer).toMatchObject({
    type: "offer",
    offer: {
      channelId: phoneNumberId,
      calledNumber: "15551440000",
      ctaPayload: "button/1",
      caller: modes.caller === "bsuid_only" ? { userId: ana.userId } : { number: ana.number },
    },
  });
  expect(end).toMatchObject({ type: "terminate", summary: { status: "COMPLETED", startTime: expect.any(Number) } });
});

test("words that nobody knows are ignored with a word beside the call", async () => {
  await start();
  await call(ana, { unknownEvent: true, unknownField: true, batch: "with_message" });
  await settled();
  expect(wordsOf()).toEqual(expect.arrayContaining(["offer", "terminate", "field messages"]));
  expect(outcomes.every(({ ok }) => ok)).toBe(true);
});

test.each(["two_calls", "two_entries"] as const)("two calls in one body (%s) are both answered", async (batch) => {
  await start();
  const bob = { ...ana, number: "5511987650000", userId: "BR.1" };
  expect(await Promise.all([call(ana, { batch }), call(bob, { batch })])).toEqual(
    Array(2).fill(["ringing", "picked up", "hung_up"]),
  );
  await settled();
  expect(wordsOf().toSorted()).toEqual(["offer", "offer", "terminate", "terminate"]);
});

test.each(["wrong", "missing"] as const)("a %s signature is refused and nothing happens", async (signature) => {
  await start({ ringMs: { min: 50, max: 50 } });
  expect(await call(ana, { signature })).toEqual(["not_answered"]);
  await settled();
  expect(meta.log.webhooks().map(({ status }) => status)).toEqual([401, 401]);
  expect([events, stored.size]).toEqual([[], 0]);
});

test("a call whose webhook could not be stored at first is answered at its repetition", async () => {
  await start();
  failures = 2;
  expect(await call(ana)).toEqual(["ringing", "picked up", "hung_up"]);
  await settled();
  expect(meta.log.webhooks("connect").map(({ status }) => status)).toEqual([503, 503, 200]);
});

test.each<[string, "pre_accept" | "accept", Fault]>([
  ["pre_accept is refused by 138004", "pre_accept", { kind: "error", error: 138004 }],
  ["pre_accept's answer is lost", "pre_accept", { kind: "answer_lost" }],
  ["pre_accept itself is lost", "pre_accept", { kind: "request_lost" }],
  ["pre_accept gets no answer", "pre_accept", { kind: "silent" }],
  ["pre_accept's answer is late", "pre_accept", { kind: "slow", delayMs: 500 }],
  ["accept is throttled", "accept", { kind: "error", error: 130429 }],
  ["accept's answer is lost", "accept", { kind: "answer_lost" }],
  ["accept gets no answer", "accept", { kind: "silent" }],
])("the call is picked up although %s", async (_, action, fault) => {
  await start();
  meta.faults.next(action, fault);
  expect(await call(ana)).toEqual(["ringing", "picked up", "hung_up"]);
  await settled();
  expect(outcomes.every(({ ok }) => ok)).toBe(true);
  expect(outcomes.map(({ attempts }) => attempts)).toEqual(action === "pre_accept" ? [2, 1] : [1, 2]);
});

test("an accept for a call that the user gave up is gone, not a trouble", async () => {
  await start({ ringMs: { min: 50, max: 50 } });
  meta.faults.always("pre_accept", { kind: "silent" });
  expect(await call(ana)).toEqual(["not_answered"]);
  meta.faults.clear();
  await settled();
  expect(outcomes.at(-1)).toMatchObject({ ok: false, failure: { code: 100, gone: true, retryable: false } });
});
