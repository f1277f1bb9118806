import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { EventId } from "#core/event/event.ts";
import { systemClock } from "#engine/system-clock.ts";
import { effectKey, laneKey } from "#router/jobs.ts";
import type { PlannedEffect } from "#router/ports.ts";
import { connect } from "#store/client.ts";
import { EventIntake } from "#store/event-intake.ts";
import { DEFAULT_TENANT } from "#store/tenant.ts";
import { Wake } from "#store/wake.ts";
import { type TestDatabase, withDatabase } from "#test/support/database.ts";
import { quietLog } from "#test/support/quiet-log.ts";
import { anEvent, eventOfTime, newId, nextJob, type RouterStore, routerStore } from "#test/support/router-store.ts";

let database: TestDatabase;
let store: RouterStore;
beforeAll(async () => {
  database = await withDatabase();
  store = routerStore(database.url);
});
afterEach(() => database.sql`truncate communication_events, q_lanes, q_jobs, effects, deliveries cascade`);
afterAll(async () => {
  await store.close();
  await database.drop();
});

const OTHER_TENANT = "00000000-0000-7000-8000-000000000002";
const all = { tenantId: DEFAULT_TENANT, limit: 100 };

test("an event is stored as it is, together with the job that routes it", async () => {
  const event = anEvent({ raw: { event: "message", odd: "a\u0000b\ud800" } });
  expect(await store.intake.accept(event)).toEqual({
    eventId: event.eventId,
    traceId: event.traceId,
    duplicate: false,
    conflict: false,
  });
  expect(await store.events.get(DEFAULT_TENANT, event.eventId)).toEqual({
    ...event,
    // What Postgres does not take in a text is left out.
    raw: { event: "message", odd: "ab\ufffd" },
    idempotencyKey: `wpp_gateway:${event.externalId}:whatsapp.inbound.message`,
    status: "received",
    attempts: 0,
    conflicts: 0,
  });
  expect(await store.events.get(OTHER_TENANT, event.eventId)).toBeUndefined();
  const { lane, job } = await nextJob(store, "route");
  expect(lane.key).toBe(laneKey("route", DEFAULT_TENANT, event.conversationKey));
  expect(job).toMatchObject({
    handler: "route",
    eventId: event.eventId,
    payload: { event_id: event.eventId, repeat: 0 },
  });
});

test("the same event again does nothing, at once and later; whoever told it gets the first one's ids", async () => {
  const first = anEvent();
  const again = { ...first, eventId: anEvent().eventId, traceId: "f".repeat(32) };
  // The order of keys does not make another body.
  const shuffled = {
    ...again,
    eventId: anEvent().eventId,
    payload: { content: { text: "oi", type: "text" }, message_id: first.payload["message_id"] ?? "" },
  };
  const answers = await Promise.all([store.intake.accept(first), store.intake.accept(again)]);
  answers.push(await store.intake.accept(shuffled));
  expect(answers.map((answer) => answer.duplicate)).toEqual([false, true, true]);
  expect(new Set(answers.map((answer) => `${answer.eventId} ${answer.traceId} ${answer.conflict}`)).size).toBe(1);
  expect((await store.queue.figures())[0]?.queued).toBe(1);
});

test("another body under the same key is kept and flagged, and does nothing else", async () => {
  const first = anEvent();
  const forged = { ...first, eventId: anEvent().eventId, payload: { content: { type: "text", text: "tchau" } } };
  const answers = await Promise.all([first, forged].map((event) => store.intake.accept(event)));
  answers.push(await store.intake.accept(forged));
  expect(answers.map(({ duplicate, conflict }) => [duplicate, conflict])).toEqual([
    [false, false],
    [true, true],
    [true, true],
  ]);
  const trace = await store.events.trace(DEFAULT_TENANT, first.eventId);
  expect(trace?.event).toMatchObject({ payload: first.payload, conflicts: 2 });
  expect(trace?.conflicts).toEqual([{ receivedAt: forged.receivedAt, payload: forged.payload }]);
  expect((await store.queue.figures())[0]?.queued).toBe(1);
});

test("two tenants may have one key", async () => {
  const event = anEvent();
  const other = { ...event, eventId: anEvent().eventId, tenantId: OTHER_TENANT };
  const answers = await Promise.all([event, other].map((one) => store.intake.accept(one)));
  expect(answers.map((answer) => answer.duplicate)).toEqual([false, false]);
});

test("two thousand at once are each stored once, in few statements, in the order in which they came", async () => {
  const events = Array.from({ length: 2_000 }, (_, n) =>
    anEvent({ externalId: `shop/${n % 1_900}`, payload: { n: n % 1_900 } }),
  );
  const answers = await Promise.all(events.map((event) => store.intake.accept(event)));
  expect(answers.filter((answer) => answer.duplicate).length).toBe(100);
  const [row] = await database.sql`
    select count(*)::int as rows, count(distinct xmin::text)::int as statements from communication_events`;
  expect(row?.["rows"]).toBe(1_900);
  expect(row?.["statements"]).toBeLessThan(20);
  const [lane] = await store.queue.claim({
    pool: "route",
    lanes: 1,
    jobsPerLane: 5_000,
    leaseMs: 60_000,
  });
  expect(lane?.jobs.map((job) => job.eventId)).toEqual(events.slice(0, 1_900).map((event) => event.eventId));
});

test("two nodes that are told the same events at once keep each once, and neither waits for the other", async () => {
  const other = routerStore(database.url);
  const events = Array.from({ length: 600 }, (_, n) => anEvent({ externalId: `shop/${n}`, payload: { n } }));
  const copies = events.toReversed().map((event) => ({ ...event, eventId: anEvent().eventId }));
  const answers = await Promise.all([
    ...events.map((event) => store.intake.accept(event)),
    ...copies.map((event) => other.intake.accept(event)),
  ]);
  expect(answers.filter((answer) => !answer.duplicate).length).toBe(600);
  expect((await store.queue.figures())[0]?.queued).toBe(600);
  await other.close();
});

test("an event that the database refuses does not take its neighbours with it", async () => {
  const bad = anEvent({ traceId: "not a trace" });
  const outcomes = await Promise.allSettled([anEvent(), bad, anEvent()].map((event) => store.intake.accept(event)));
  expect(outcomes.map((outcome) => outcome.status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect(outcomes[1]).toMatchObject({ reason: { code: "event_refused", retryable: false } });
});

test("says that the database is away, and that it has too much to do", async () => {
  const sql = connect({ url: "postgresql:///x?host=/tmp/no-such-directory&user=x", connections: 1 });
  const wake = new Wake({ url: database.url, sql, nodeId: newId(), clock: systemClock, log: quietLog() });
  const lost = new EventIntake({ sql, wake });
  await expect(lost.accept(anEvent())).rejects.toMatchObject({ code: "store_unavailable", retryable: true });
  const outcomes = await Promise.allSettled(Array.from({ length: 5_001 }, () => lost.accept(anEvent())));
  expect(outcomes.at(-1)).toMatchObject({ reason: { code: "store_overloaded", retryable: true } });
  expect(lost.waiting).toBe(0);
  await sql.end();
});

test("an event of a channel that nobody has claimed is parked until somebody does", async () => {
  const { tenantId: _, ...parked } = anEvent({ channelId: "stray" });
  await store.intake.accept(parked);
  expect(await store.intake.accept({ ...parked, eventId: anEvent().eventId })).toMatchObject({
    eventId: parked.eventId,
    duplicate: true,
  });
  expect(await store.queue.figures()).toEqual([]);
  expect(await store.events.parked()).toEqual([
    { provider: "wpp_gateway", channelId: "stray", count: 1, since: parked.receivedAt },
  ]);
  expect(await store.events.unpark("cloud_api", "stray", DEFAULT_TENANT)).toBe(0);
  expect(await store.events.unpark("wpp_gateway", "stray", DEFAULT_TENANT)).toBe(1);
  expect(await store.events.unpark("wpp_gateway", "stray", DEFAULT_TENANT)).toBe(0);
  expect(await store.events.parked()).toEqual([]);
  expect(await store.events.get(DEFAULT_TENANT, parked.eventId)).toMatchObject({ status: "received" });
  const { lane, job } = await nextJob(store, "route");
  expect(lane).toMatchObject({ key: laneKey("route", DEFAULT_TENANT, parked.conversationKey), target: DEFAULT_TENANT });
  expect(job).toMatchObject({ eventId: parked.eventId, payload: { event_id: parked.eventId, repeat: 0 } });
});

test("all that is parked is taken up, however much it is", async () => {
  const { tenantId: _, ...parked } = anEvent({ channelId: "stray" });
  await store.intake.accept(parked);
  await database.sql`
    insert into communication_events (event_id, trace_id, idempotency_key, source_system, external_id, event_type, payload,
      payload_version, digest, provider, channel_id, conversation_key, occurred_at, received_at)
    select 'evt_' || gen_random_uuid(), trace_id, idempotency_key || n, source_system, external_id || n, event_type, payload,
      payload_version, digest, provider, channel_id, conversation_key, occurred_at, received_at
    from communication_events, generate_series(1, 10_000) n`;
  expect(await store.events.unpark("wpp_gateway", "stray", DEFAULT_TENANT)).toBe(10_001);
  expect(await store.events.parked()).toEqual([]);
});

test("a repetition that stays parked though its channel has an owner waits for nobody", async () => {
  const { tenantId, ...again } = anEvent({ channelId: "stray" });
  await store.intake.accept({ ...again, ...(tenantId === undefined ? {} : { tenantId }) });
  await store.intake.accept({ ...again, eventId: anEvent().eventId });
  await store.channels.put({
    tenantId: DEFAULT_TENANT,
    provider: "wpp_gateway",
    channelId: "stray",
    state: "new",
    enabled: true,
  });
  expect(await store.events.unpark("wpp_gateway", "stray", DEFAULT_TENANT)).toBe(0);
  expect(await store.events.parked()).toEqual([]);
});

test("lists newest first, page by page, by every filter", async () => {
  const events = [
    eventOfTime(1_000, { type: "billing.invoice.overdue", sourceSystem: "erp" }),
    eventOfTime(2_000, { type: "billing.invoice.paid", sourceSystem: "erp" }),
    eventOfTime(3_000, { type: "call.missed", channelId: "other", traceId: "b".repeat(32) }),
  ];
  for (const event of events) await store.intake.accept(event);
  const ids = events.map((event) => event.eventId).toReversed();
  const first = await store.events.list({ ...all, limit: 2 });
  expect(first.items.map((event) => event.eventId)).toEqual(ids.slice(0, 2));
  const second = await store.events.list({ ...all, limit: 2, cursor: first.next ?? "" });
  expect(second.items.map((event) => event.eventId)).toEqual(ids.slice(2));
  expect(second.next).toBeUndefined();
  const found = async (filter: object) => (await store.events.list({ ...all, ...filter })).items.length;
  expect(await found({ type: "billing.invoice.*" })).toBe(2);
  expect(await found({ type: "call.missed" })).toBe(1);
  expect(await found({ type: "a' or true --" })).toBe(0);
  expect(await found({ status: "received" })).toBe(3);
  expect(await found({ status: "nonsense" })).toBe(0);
  expect(await found({ sourceSystem: "erp" })).toBe(2);
  expect(await found({ channelId: "other" })).toBe(1);
  expect(await found({ traceId: "b".repeat(32) })).toBe(1);
  expect(await found({ since: 2_000, until: 3_000 })).toBe(1);
  expect(await found({ tenantId: OTHER_TENANT })).toBe(0);
  await expect(store.events.list({ ...all, cursor: "bm90IG9uZQ" })).rejects.toMatchObject({ code: "bad_cursor" });
});

// ── Replay ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

const rule = { id: "00000000-0000-7000-8000-000000000102", version: 1 };

function sending(event: ReturnType<typeof anEvent>, step: string, repeat: number): PlannedEffect {
  const key = effectKey(event.eventId, rule.id, step, repeat);
  const lane = laneKey("send", "c", `${event.conversationKey}/${step}`);
  const job = {
    lane,
    pool: "send",
    target: "c",
    tenantId: DEFAULT_TENANT,
    handler: "send",
    payload: { key },
    eventId: event.eventId,
  } as const;
  return { key, eventId: event.eventId, rule, step, kind: "send_message", state: "planned", detail: { to: "x" }, job };
}

/** Routes the next event into two messages, sends the first and gives up the second where `bad`. */
async function routeAndSend(event: ReturnType<typeof anEvent>, bad: boolean): Promise<readonly string[]> {
  const { lane, job } = await nextJob(store, "route");
  const repeat = Number(job.payload["repeat"]);
  const effects = [sending(event, "0", repeat), sending(event, "1", repeat)];
  await store.queue.finish({ lane, job, result: "done", routed: { status: "routed" }, effects });
  await store.queue.release(lane);
  const sent: string[] = [];
  const lanes = await store.queue.claim({
    pool: "send",
    lanes: 10,
    jobsPerLane: 10,
    leaseMs: 60_000,
  });
  for (const one of lanes) {
    for (const each of one.jobs) {
      const key = String(each.payload["key"]);
      const done = await store.effects.start(key);
      const dead = bad && key.includes("/1");
      if (done.state === "fresh" && !dead) sent.push(key);
      await store.queue.finish(
        dead
          ? { lane: one, job: each, result: "dead", error: "no", settled: { key, state: "dead", error: "no" } }
          : { lane: one, job: each, result: "done", settled: { key, state: "done", response: { id: "m" } } },
      );
    }
    await store.queue.release(one);
  }
  return sent.map((key) => key.slice(event.eventId.length + rule.id.length + 2)).toSorted();
}

test("a replay does what failed, not what succeeded; one that shall repeat does all of it again", async () => {
  const event = anEvent();
  await store.intake.accept(event);
  expect(await routeAndSend(event, true)).toEqual(["0"]);
  expect(await store.events.get(DEFAULT_TENANT, event.eventId)).toMatchObject({ status: "dead", attempts: 1 });

  const request = { tenantId: DEFAULT_TENANT, filter: { status: "dead" }, limit: 10, by: "test" } as const;
  expect(await store.events.replay({ ...request, tenantId: OTHER_TENANT })).toBe(0);
  expect(await store.events.replay(request)).toBe(1);
  expect(await routeAndSend(event, false)).toEqual(["1"]);
  expect(await store.events.get(DEFAULT_TENANT, event.eventId)).toMatchObject({ status: "processed", attempts: 2 });
  expect(await store.events.replay(request)).toBe(0);

  const again = { tenantId: DEFAULT_TENANT, eventIds: [event.eventId], limit: 10, by: "test" };
  expect(await store.events.replay(again)).toBe(1);
  expect(await routeAndSend(event, false)).toEqual([]);
  expect(await store.events.get(DEFAULT_TENANT, event.eventId)).toMatchObject({ status: "processed" });
  expect(await store.events.replay({ ...again, repeat: true })).toBe(1);
  expect(await routeAndSend(event, false)).toEqual(["0/r1", "1/r1"]);
  const trace = await store.events.trace(DEFAULT_TENANT, event.eventId);
  expect(trace?.event).toMatchObject({ status: "processed", attempts: 4 });
  expect(trace?.effects.map((effect) => [effect.step, effect.state, effect.rule?.name])).toEqual([
    ["0", "done", "Overdue invoices are told to the customer"],
    ["1", "done", "Overdue invoices are told to the customer"],
    ["0", "done", "Overdue invoices are told to the customer"],
    ["1", "done", "Overdue invoices are told to the customer"],
  ]);
});

test("a replay of many takes the oldest first, up to its limit", async () => {
  const events = Array.from({ length: 5 }, (_, n) => eventOfTime(1_000 + n));
  for (const event of events) await store.intake.accept(event);
  await database.sql`delete from q_jobs`;
  expect(
    await store.events.replay({ tenantId: DEFAULT_TENANT, filter: { type: "whatsapp.*" }, limit: 3, by: "test" }),
  ).toBe(3);
  const rows = await database.sql`select event_id from q_jobs order by id`;
  expect(rows.map((row) => row["event_id"])).toEqual(events.slice(0, 3).map((event) => event.eventId));
});

test("forgets what is old, whatever became of it, but not what still has work to do", async () => {
  const ends = ["processed", "ignored", "dead", "failed", "routed", "retried", "waiting"] as const;
  const events = new Map(ends.map((end) => [end, anEvent({ externalId: end })]));
  for (const event of events.values()) await store.intake.accept(event);
  const { tenantId: _, ...ofNobody } = anEvent({ externalId: "parked", channelId: "of nobody" });
  await store.intake.accept(ofNobody);
  const { sql } = database;
  const idOf = (end: (typeof ends)[number]) => events.get(end)?.eventId ?? "";
  const [id] = [idOf("dead")];
  await sql`update communication_events set status = external_id
    where external_id in ('processed', 'ignored', 'dead', 'failed', 'routed')`;
  await sql`update communication_events set status = 'failed' where external_id = 'retried'`;
  await sql`delete from q_jobs where event_id not in (${id}, ${idOf("retried")}, ${idOf("waiting")})`;
  await sql`update q_jobs set state = 'dead', dead_at = now() where event_id = ${id}`;
  await sql`insert into effects (key, event_id, step, kind, state) values ('x', ${id}, '0', 'webhook', 'dead')`;
  const begun = { key: "x", tenantId: DEFAULT_TENANT, endpointId: newId() };
  const delivery = await store.deliveries.begin({ ...begun, eventId: id as EventId });
  await store.deliveries.attempt(delivery.id, { at: 1, tookMs: 1, status: 500 }, { state: "dead" });

  expect(await store.events.prune(new Date(Date.now() - 60_000), 100)).toBe(0);
  expect(await store.events.prune(new Date(Date.now() + 1_000), 4)).toBe(4);
  expect(await store.events.prune(new Date(Date.now() + 1_000), 4)).toBe(2);
  const left = await sql`select external_id from communication_events order by external_id`;
  expect(left.map((row) => row["external_id"])).toEqual(["retried", "waiting"]);
  const jobs = await sql`select event_id from q_jobs order by id`;
  expect(jobs.map((row) => row["event_id"])).toEqual([idOf("retried"), idOf("waiting")]);
  for (const table of ["effects", "deliveries", "delivery_attempts"])
    expect(await sql`select count(*)::int as left from ${sql(table)}`).toEqual([{ left: 0 }]);
});

test("an event that is replayed while it is forgotten stays", async () => {
  const event = anEvent();
  await store.intake.accept(event);
  await routeAndSend(event, false);
  const other = connect({ url: database.url, connections: 1 });
  await other.unsafe("begin");
  await other`update communication_events set status = 'received' where event_id = ${event.eventId}`;
  expect(await store.events.prune(new Date(Date.now() + 1_000), 10)).toBe(0);
  await other.unsafe("commit");
  expect(await store.events.prune(new Date(Date.now() + 1_000), 10)).toBe(0);
  await other.end();
});

test("replies of people and deliveries of events that are gone are forgotten by their age", async () => {
  const { sql } = database;
  await sql`insert into effects (key, step, kind, state, settled_at) values
    ('old', 'reply', 'send_message', 'done', now() - interval '2 days'),
    ('new', 'reply', 'send_message', 'done', now()), ('open', 'reply', 'send_message', 'started', null)`;
  const before = new Date(Date.now() - 86_400_000);
  expect([await store.effects.prune(before, 9), await store.effects.prune(before, 9)]).toEqual([1, 0]);
  const delivery = { tenantId: DEFAULT_TENANT, endpointId: newId() };
  const event = anEvent();
  await store.intake.accept(event);
  const gone = await store.deliveries.begin({ ...delivery, key: "1", eventId: anEvent().eventId });
  const kept = await store.deliveries.begin({ ...delivery, key: "2", eventId: event.eventId });
  for (const { id } of [gone, kept]) await store.deliveries.attempt(id, { at: 1, tookMs: 1 }, { state: "delivered" });
  expect(await store.deliveries.prune(before, 9)).toBe(0);
  expect(await store.deliveries.prune(new Date(Date.now() + 1_000), 9)).toBe(1);
  expect((await store.deliveries.list(all)).items.map((one) => one.id)).toEqual([kept.id]);
});

// ── The ledger ─────────────────────────────────────────────────────────────────────────────────────────────────────────

test("of two that start an effect at once one finds it fresh; after a crash it is unknown", async () => {
  const key = "reply/1";
  const starts = await Promise.all(Array.from({ length: 8 }, () => store.effects.start(key)));
  expect(starts.map((start) => start.state).toSorted()).toEqual(["fresh", ...Array(7).fill("unknown")]);
  await store.effects.notDone(key, "connection refused");
  const again = await Promise.all([store.effects.start(key), store.effects.start(key)]);
  expect(again.map((start) => start.state).toSorted()).toEqual(["fresh", "unknown"]);
});

test("what is done says so, with its answer", async () => {
  const event = anEvent();
  await store.intake.accept(event);
  await routeAndSend(event, false);
  expect(await store.effects.start(effectKey(event.eventId, rule.id, "0", 0))).toEqual({
    state: "done",
    response: { id: "m" },
  });
  await store.effects.notDone(effectKey(event.eventId, rule.id, "0", 0), "late news");
  expect(await store.effects.start(effectKey(event.eventId, rule.id, "0", 0))).toMatchObject({ state: "done" });
});
