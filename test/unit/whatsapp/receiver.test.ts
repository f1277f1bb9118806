import { afterEach, beforeEach, expect, test } from "vitest";
import { PonteError } from "#core/error.ts";
import type { InboxItem, MetaCallEvent, MetaEventsPort, WebhookInboxPort } from "#engine/ports.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { body, callWebhook, connect, sign, terminate, webhook } from "#test/support/fixtures/webhooks/webhooks.ts";
import { quietLog } from "#test/support/quiet-log.ts";
import type { ReceiverParts } from "#whatsapp/receiver.ts";
import { WebhookReceiver } from "#whatsapp/receiver.ts";
import { MAX_WEBHOOK_BYTES } from "#whatsapp/webhook.ts";

const secret = "app secret";

/** An inbox in memory: stores by content as the real one does, fails and waits when told to. */
class FakeInbox implements WebhookInboxPort {
  readonly items = new Map<string, InboxItem>();
  readonly ended: (readonly [id: string, error: string | undefined])[] = [];
  readonly asked: number[] = [];
  failure: PonteError | undefined;
  /** The row is written, but its acknowledgement is lost. */
  storesBeforeFailing = false;
  commit: Promise<void> = Promise.resolve();

  async accept(_source: "meta", bytes: Buffer): Promise<{ readonly id: string; readonly duplicate: boolean }> {
    await this.commit;
    const key = bytes.toString("base64");
    const known = [...this.items.values()].find((item) => item.body.toString("base64") === key);
    if (this.failure !== undefined && !this.storesBeforeFailing) throw this.failure;
    const item = known ?? this.put(`in-${this.items.size + 1}`, bytes);
    if (this.failure !== undefined) throw this.failure;
    return { id: item.id, duplicate: known !== undefined };
  }

  put(id: string, bytes: Buffer, receivedAt = 1): InboxItem {
    const item = { id, source: "meta" as const, body: bytes, receivedAt };
    this.items.set(id, item);
    return item;
  }

  async unprocessed(limit: number): Promise<readonly InboxItem[]> {
    this.asked.push(limit);
    if (this.failure !== undefined) throw this.failure;
    return [...this.items.values()].filter(({ id }) => !this.written.has(id)).slice(0, limit);
  }

  /** What `done` has told so far is written only when the test says so. */
  readonly written = new Set<string>();
  writeAtOnce = true;
  done(id: string, error?: string): void {
    this.ended.push([id, error]);
    if (this.writeAtOnce) this.written.add(id);
  }
}

/** An engine that notes what it takes, and takes it only when it may. */
class FakeEngine implements MetaEventsPort {
  readonly taken: string[] = [];
  readonly gates = new Map<string, Promise<void>>();
  failure: Error | undefined;

  async take(event: MetaCallEvent): Promise<void> {
    const wacid = (event.type === "offer" ? event.offer.wacid : event.wacid) ?? "";
    const word = event.type === "ignored" ? event.what : `${event.type} ${wacid}`;
    await this.gates.get(word);
    if (this.failure !== undefined) throw this.failure;
    this.taken.push(word);
  }
}

let inbox: FakeInbox;
let engine: FakeEngine;
let clock: FakeClock;
let log: ReturnType<typeof quietLog>;
let receiver: WebhookReceiver;

function make(parts: Partial<ReceiverParts> = {}): WebhookReceiver {
  return new WebhookReceiver({ inbox, engine, secrets: [secret], verifyToken: "let me in", log, clock, ...parts });
}

beforeEach(() => {
  inbox = new FakeInbox();
  engine = new FakeEngine();
  clock = new FakeClock();
  log = quietLog();
  receiver = make();
});

afterEach(async () => {
  await receiver.stop();
  expect(clock.pending).toBe(0);
});

const send = (bytes: Buffer, by = receiver) => by.receive(bytes, sign(bytes, secret));
const call = (id: string) => ({ ...connect, id });
const end = (id: string) => ({ ...terminate, id });
const settled = () => new Promise((resolve) => setImmediate(resolve));

function promise(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  return Promise.withResolvers<void>();
}

test.each([
  ["the right token", { mode: "subscribe", token: "let me in", challenge: "1158201444" }, 200],
  ["a wrong token", { mode: "subscribe", token: "let me out", challenge: "1158201444" }, 403],
  ["no token", { mode: "subscribe", challenge: "1158201444" }, 403],
  ["another mode", { mode: "unsubscribe", token: "let me in", challenge: "1158201444" }, 403],
  ["no challenge", { mode: "subscribe", token: "let me in" }, 403],
  ["a challenge with markup", { mode: "subscribe", token: "let me in", challenge: "<script>" }, 403],
])("verifies the address by %s", (_, question, status) => {
  expect(receiver.verify(question)).toEqual(status === 200 ? { status, body: "1158201444" } : { status });
});

test("cannot be verified without a token of ours", () => {
  const question = { mode: "subscribe", token: "", challenge: "1" };
  expect(make({ verifyToken: "" }).verify(question)).toEqual({ status: 403 });
});

test("stores a webhook, answers 200 and hands over its events in order", async () => {
  expect(await send(body(webhook(...[call("a"), end("a")].map((one) => changeOf(one)))))).toEqual({ status: 200 });
  await receiver.stop();
  expect(engine.taken).toEqual(["offer a", "terminate a"]);
  expect(inbox.ended).toEqual([["in-1", undefined]]);
  expect(receiver.counters).toMatchObject({ accepted: 1, offers: 1, terminates: 1, failed: 0 });
});

function changeOf(one: object): object {
  return (callWebhook(one) as { entry: [{ changes: [object] }] }).entry[0].changes[0];
}

test("answers and hands over only after the commit", async () => {
  const commit = promise();
  inbox.commit = commit.promise;
  let answered = false;
  const answer = send(body(callWebhook(call("a")))).then((result) => {
    answered = true;
    return result;
  });
  await settled();
  expect([answered, engine.taken]).toEqual([false, []]);
  commit.resolve();
  expect(await answer).toEqual({ status: 200 });
});

test("does not keep Meta waiting for the engine, and one call not for another", async () => {
  const slow = promise();
  engine.gates.set("offer a", slow.promise);
  expect(await send(body(callWebhook(call("a"))))).toEqual({ status: 200 });
  expect(await send(body(callWebhook(end("a"))))).toEqual({ status: 200 });
  expect(await send(body(callWebhook(call("b"))))).toEqual({ status: 200 });
  await settled();
  expect(engine.taken).toEqual(["offer b"]);
  slow.resolve();
  await receiver.stop();
  expect(engine.taken).toEqual(["offer b", "offer a", "terminate a"]);
});

const signed = body(callWebhook(call("a")));
test.each<[string, Buffer, string | undefined, number]>([
  ["a wrong signature", signed, sign(signed, "guess"), 401],
  ["no signature", signed, undefined, 401],
  [
    "a signature of other bytes with the same meaning",
    Buffer.from(JSON.stringify(JSON.parse(`${signed}`))),
    sign(signed, secret),
    401,
  ],
  ["a signed text that is no JSON", Buffer.from("hello"), sign(Buffer.from("hello"), secret), 400],
  ["an empty signed body", Buffer.alloc(0), sign(Buffer.alloc(0), secret), 400],
  ["a body too long, whatever its signature", Buffer.alloc(MAX_WEBHOOK_BYTES + 1), undefined, 413],
])("refuses %s and stores nothing", async (_, bytes, signature, status) => {
  expect(await receiver.receive(bytes, signature)).toEqual({ status });
  expect([inbox.items.size, engine.taken]).toEqual([0, []]);
});

test("a flood of wrong signatures does not flood the log", async () => {
  for (let index = 0; index < 1_000; index++) await receiver.receive(signed, undefined);
  expect(receiver.counters.wrongSignatures).toBe(1_000);
  expect(log.lines).toHaveLength(10);
});

test("takes a repeated webhook once, though it answers 200 each time", async () => {
  expect([await send(signed), await send(signed), await send(signed)].map(({ status }) => status)).toEqual([
    200, 200, 200,
  ]);
  await receiver.stop();
  expect(engine.taken).toEqual(["offer a"]);
  expect(receiver.counters).toMatchObject({ accepted: 1, duplicates: 2 });
});

test("sends Meta away while the database is away, and takes the repetition", async () => {
  inbox.failure = new PonteError("store_unavailable", "connection refused");
  expect(await send(signed)).toEqual({ status: 503 });
  expect(engine.taken).toEqual([]);
  inbox.failure = undefined;
  expect(await send(signed)).toEqual({ status: 200 });
  await receiver.stop();
  expect(engine.taken).toEqual(["offer a"]);
  expect(receiver.counters.storeFailures).toBe(1);
});

test("takes the repetition of what was stored although storing seemed to fail", async () => {
  inbox.failure = new PonteError("store_unavailable", "connection lost in commit");
  inbox.storesBeforeFailing = true;
  expect(await send(signed)).toEqual({ status: 503 });
  inbox.failure = undefined;
  expect(await send(signed)).toEqual({ status: 200 });
  await receiver.stop();
  expect(engine.taken).toEqual(["offer a"]);
});

test("has a limit for what waits, and forgets nothing of it", async () => {
  const commit = promise();
  inbox.commit = commit.promise;
  const bodies = Array.from({ length: 1_001 }, (_, index) => body(callWebhook(call(`c${index}`))));
  const answers = bodies.map((bytes) => send(bytes));
  expect(await answers.at(-1)).toEqual({ status: 503 });
  commit.resolve();
  const statuses = (await Promise.all(answers)).map(({ status }) => status);
  await receiver.stop();
  expect(statuses.filter((status) => status === 200)).toHaveLength(1_000);
  expect(engine.taken).toHaveLength(1_000);
});

test("a failing engine is written down, and the next webhook is taken", async () => {
  engine.failure = new Error("out of order");
  await send(signed);
  await settled();
  engine.failure = undefined;
  await send(body(callWebhook(call("b"))));
  await receiver.stop();
  expect(inbox.ended).toEqual([
    ["in-1", "offer: out of order"],
    ["in-2", undefined],
  ]);
  expect(engine.taken).toEqual(["offer b"]);
});

test("what was understood in part is taken in part and noted", async () => {
  await send(body(webhook({ field: "calls" }, changeOf(call("a")), { field: "messages", value: {} })));
  await receiver.stop();
  expect(engine.taken).toEqual(["offer a", "field messages"]);
  expect(inbox.ended).toEqual([["in-1", "entry[0].changes[0].value: is no object"]]);
});

test("after a crash it takes what was left over, oldest first, and once", async () => {
  for (let index = 0; index < 250; index++) inbox.put(`old-${index}`, body(callWebhook(call(`c${index}`))));
  // `done` is written behind: the list still holds what was just worked off.
  inbox.writeAtOnce = false;
  expect(await receiver.recover()).toBe(250);
  expect(engine.taken).toEqual(Array.from({ length: 250 }, (_, index) => `offer c${index}`));
  expect(inbox.ended).toHaveLength(250);
  expect(await receiver.recover()).toBe(0);
  expect(inbox.asked.every((limit) => limit <= 2_100)).toBe(true);
});

test("judges a left-over offer by the time at which it was received", async () => {
  const offers: MetaCallEvent[] = [];
  const take = async (event: MetaCallEvent) => void offers.push(event);
  inbox.put("old", body(callWebhook({ ...connect, timestamp: "now" })), 1_000);
  expect(await make({ engine: { take } }).recover()).toBe(1);
  expect(offers).toMatchObject([{ type: "offer", offer: { offeredAt: 1_000 } }]);
});

test("recovers by itself when the database comes back", async () => {
  inbox.put("old", signed);
  inbox.failure = new PonteError("store_unavailable", "starting up");
  expect(await receiver.recover()).toBe(0);
  inbox.failure = undefined;
  clock.advance(5_000);
  await settled();
  expect(engine.taken).toEqual(["offer a"]);
});

test("does not repeat what is being worked off while it recovers", async () => {
  const slow = promise();
  engine.gates.set("offer a", slow.promise);
  await send(signed);
  expect(await receiver.recover()).toBe(0);
  slow.resolve();
  await receiver.stop();
  expect(engine.taken).toEqual(["offer a"]);
});

test("a stopped receiver takes nothing more and leaves no timer", async () => {
  inbox.failure = new PonteError("store_unavailable", "away");
  await receiver.recover();
  expect(clock.pending).toBe(1);
  await receiver.stop();
  await receiver.stop();
  inbox.failure = undefined;
  expect(await send(signed)).toEqual({ status: 503 });
  expect(await receiver.recover()).toBe(0);
});
