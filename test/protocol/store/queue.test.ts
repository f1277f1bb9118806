import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { eventId } from "#core/event/event.ts";
import { uuidV7 } from "#core/id.ts";
import { systemClock } from "#engine/system-clock.ts";
import type { ClaimRequest, Lane, NewJob, PlannedEffect, Room } from "#router/ports.ts";
import { connect, type Sql } from "#store/client.ts";
import { LaneQueue, WORKER_LOCK_TIMEOUT_MS } from "#store/queue.ts";
import { DEFAULT_TENANT } from "#store/tenant.ts";
import { Wake } from "#store/wake.ts";
import { type TestDatabase, withDatabase } from "#test/support/database.ts";
import { quietLog } from "#test/support/quiet-log.ts";

let database: TestDatabase;
const pools: Sql[] = [];
beforeAll(async () => {
  database = await withDatabase();
});
afterEach(async () => {
  await Promise.all(pools.splice(0).map((sql) => sql.end({ timeout: 1 })));
  await database.sql`truncate q_lanes, q_jobs, effects, communication_events cascade`;
});
afterAll(() => database.drop());

const newId = () => uuidV7(Date.now(), randomBytes(16));

function queue(connections = 3): LaneQueue {
  const sql = connect({ url: database.url, connections, lockTimeoutMs: WORKER_LOCK_TIMEOUT_MS });
  pools.push(sql);
  const nodeId = newId();
  const wake = new Wake({ url: database.url, sql, nodeId, clock: systemClock, log: quietLog() });
  return new LaneQueue({ sql, nodeId, wake });
}

function job(lane: string, n: number, more: Partial<NewJob> = {}): NewJob {
  return { lane, pool: "route", target: "t", tenantId: DEFAULT_TENANT, handler: "route", payload: { n }, ...more };
}

const all: ClaimRequest = { pool: "route", lanes: 100, jobsPerLane: 100, leaseMs: 60_000 };

function room(each: number, left: Readonly<Record<string, number>> = {}): Room {
  return { each, left: new Map(Object.entries(left)) };
}

async function only(lanes: Promise<readonly Lane[]>): Promise<Lane> {
  const [lane, ...others] = await lanes;
  if (lane === undefined || others.length > 0) throw new Error("one lane was expected");
  return lane;
}

/** Statements that wait for a lock. */
async function waiting(): Promise<number> {
  const rows = await database.sql`
    select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
  return rows.length;
}

async function listeners(): Promise<number> {
  const rows = await database.sql`
    select from pg_stat_activity where query like 'listen%' and state = 'idle' and datname = current_database()`;
  return rows.length;
}

const numbers = (lane: Lane) => lane.jobs.map((one) => one.payload["n"]);

describe("a lane", () => {
  test("is held by one worker, gives its jobs in order, and comes again with what was added meanwhile", async () => {
    const [one, other] = [queue(), queue()];
    expect(await one.add([job("a", 1), job("a", 2)])).toBe(2);
    const lane = await only(one.claim(all));
    expect(numbers(lane)).toEqual([1, 2]);
    expect(await other.claim(all)).toEqual([]);
    await other.add([job("a", 3)]);
    for (const each of lane.jobs) expect(await one.finish({ lane, job: each, result: "done" })).toBe("finished");
    expect(await other.claim(all)).toEqual([]);
    await one.release(lane);
    const again = await only(other.claim(all));
    expect(numbers(again)).toEqual([3]);
    for (const each of again.jobs) await other.finish({ lane: again, job: each, result: "done" });
    await other.release(again);
    expect(await one.claim(all)).toEqual([]);
    expect(await database.sql`select count(*)::int as jobs from q_jobs`).toMatchObject([{ jobs: 0 }]);
  });

  test("is due again when an addition is committed while it is given back", async () => {
    const one = queue();
    const sql = connect({ url: database.url, connections: 1 });
    pools.push(sql);
    const wake = new Wake({ url: database.url, sql, nodeId: newId(), clock: systemClock, log: quietLog() });
    const slow = new LaneQueue({ sql, nodeId: newId(), wake });
    await one.add([job("a", 1)]);
    const lane = await only(one.claim(all));
    for (const each of lane.jobs) await one.finish({ lane, job: each, result: "done" });
    // One connection, so that these are one transaction.
    await sql.unsafe("begin");
    await slow.add([job("a", 2)]);
    const released = one.release(lane);
    await expect.poll(() => waiting()).toBe(1);
    await sql.unsafe("commit");
    await released;
    expect(numbers(await only(one.claim(all)))).toEqual([2]);
  });

  test("whose jobs are being added is left alone until they are there", async () => {
    const one = queue();
    const sql = connect({ url: database.url, connections: 1 });
    pools.push(sql);
    const wake = new Wake({ url: database.url, sql, nodeId: newId(), clock: systemClock, log: quietLog() });
    const slow = new LaneQueue({ sql, nodeId: newId(), wake });
    await one.add([job("a", 1)]);
    await sql.unsafe("begin");
    await slow.add([job("a", 2)]);
    expect(await one.claim(all)).toEqual([]);
    await sql.unsafe("commit");
    expect(numbers(await only(one.claim(all)))).toEqual([1, 2]);
  });

  test("waits for a retry, and those behind it wait too", async () => {
    const one = queue();
    await one.add([job("a", 1), job("a", 2)]);
    const lane = await only(one.claim(all));
    const [first] = lane.jobs;
    if (first === undefined) throw new Error("there are two");
    await one.finish({ lane, job: first, result: "retry", delayMs: 60_000, error: "not yet" });
    await one.release(lane);
    expect(await one.claim(all)).toEqual([]);
    // Something new does not overtake.
    await one.add([job("a", 3)]);
    const woken = await one.claim(all);
    for (const each of woken) {
      expect(each.jobs).toEqual([]);
      await one.release(each);
    }
    await database.sql`update q_jobs set run_at = now()`;
    await database.sql`update q_lanes set next_at = now()`;
    const later = await only(one.claim(all));
    expect(numbers(later)).toEqual([1, 2, 3]);
    expect(later.jobs[0]).toMatchObject({ attempts: 1, lastError: "not yet" });
  });

  test("goes on behind a dead letter, which is kept", async () => {
    const one = queue();
    await one.add([job("a", 1), job("a", 2)]);
    const lane = await only(one.claim(all));
    const [first] = lane.jobs;
    if (first === undefined) throw new Error("there are two");
    await one.finish({ lane, job: first, result: "dead", error: "poison" });
    await one.release(lane);
    expect(numbers(await only(one.claim(all)))).toEqual([2]);
    expect(await one.figures()).toMatchObject([{ pool: "route", queued: 1, dead: 1 }]);
  });

  test("is another's after its lease: what the sleeper then finishes is refused", async () => {
    const [sleeper, other] = [queue(), queue()];
    await sleeper.add([job("a", 1), job("a", 2)]);
    const old = await only(sleeper.claim({ ...all, leaseMs: 1 }));
    await expect.poll(() => other.claim(all).then((lanes) => lanes.length)).toBe(1);
    const [first] = old.jobs;
    if (first === undefined) throw new Error("there are two");
    expect(await sleeper.renew(old, 60_000)).toBe(false);
    expect(await sleeper.finish({ lane: old, job: first, result: "done" })).toBe("lost");
    expect(await sleeper.finish({ lane: old, job: first, result: "dead", error: "x" })).toBe("lost");
    await sleeper.release(old);
    expect(await sleeper.claim(all)).toEqual([]);
    expect(await other.figures()).toMatchObject([{ queued: 2, dead: 0 }]);
  });

  test("stays with a worker that renews its lease", async () => {
    const [one, other] = [queue(), queue()];
    await one.add([job("a", 1)]);
    const lane = await only(one.claim({ ...all, leaseMs: 5_000 }));
    expect(await one.renew(lane, 60_000)).toBe(true);
    await database.sql`update q_lanes set next_at = next_at - interval '10 seconds'`;
    expect(await other.claim(all)).toEqual([]);
  });

  test("of a node that is gone is free at once, and one that was forgotten is found", async () => {
    const [dead, next] = [queue(), queue()];
    await dead.add([job("a", 1), job("b", 1)]);
    await dead.claim({ ...all, lanes: 1 });
    await database.sql`update q_lanes set next_at = null where locked_by is null`;
    expect(await next.recover()).toBe(2);
    expect((await next.claim(all)).map((lane) => lane.key).toSorted()).toEqual(["a", "b"]);
    // A node that is in the table is left alone, and so is this one.
    expect(await next.recover()).toBe(0);
  });

  test("that is empty and that nobody used for a minute is removed", async () => {
    const one = queue();
    await one.add([job("a", 1), job("b", 1), job("c", 1), job("d", 1)]);
    const lanes = await one.claim(all);
    for (const lane of lanes)
      for (const each of lane.jobs) if ("acd".includes(lane.key)) await one.finish({ lane, job: each, result: "done" });
    await Promise.all(lanes.map((lane) => one.release(lane)));
    await database.sql`update q_lanes set touched_at = now() - interval '2 minutes' where key <> 'c'`;
    // One that was forgotten although it has work is left for `recover`.
    await database.sql`update q_lanes set next_at = null where key = 'b'`;
    expect([await one.prune(1), await one.prune(9), await one.prune(9)]).toEqual([1, 1, 0]);
    expect(await database.sql`select key from q_lanes order by key`).toEqual([{ key: "b" }, { key: "c" }]);
    expect(await one.recover()).toBe(1);
    expect(numbers(await only(one.claim(all)))).toEqual([1]);
  });

  test("whose dead letters are old loses them, and nothing else", async () => {
    const one = queue();
    await one.add([job("a", 1), job("b", 1), job("c", 1)]);
    for (const lane of await one.claim(all))
      for (const each of lane.jobs)
        if (lane.key !== "c") await one.finish({ lane, job: each, result: "dead", error: "x" });
    await database.sql`update q_jobs set dead_at = now() - interval '2 days' where lane = 'a'`;
    expect(await one.pruneDead(new Date(Date.now() - 86_400_000), 9)).toBe(1);
    expect(await database.sql`select lane from q_jobs order by lane`).toEqual([{ lane: "b" }, { lane: "c" }]);
  });
});

test("pools and targets that are at their limit are passed over", async () => {
  const one = queue();
  await one.add([job("a", 1, { target: "busy" }), job("b", 1, { target: "free" }), job("c", 1, { pool: "send" })]);
  expect((await one.claim({ ...all, perTarget: room(9, { busy: 0 }) })).map((lane) => lane.key)).toEqual(["b"]);
  expect((await one.claim(all)).map((lane) => lane.key)).toEqual(["a"]);
  expect((await one.claim({ ...all, pool: "send" })).map((lane) => lane.key)).toEqual(["c"]);
});

test("a claim takes of a target and of a tenant what there is room for, the oldest first", async () => {
  const one = queue();
  const other = newId();
  const names = (prefix: string, n: number) => Array.from({ length: n }, (_, at) => `${prefix}${at}`);
  for (const lane of names("a", 5)) await one.add([job(lane, 1, { target: "a" })]);
  for (const lane of names("b", 5)) await one.add([job(lane, 1, { target: "b" })]);
  for (const lane of names("c", 5)) await one.add([job(lane, 1, { target: "c", tenantId: other })]);
  const request = { ...all, perTarget: room(3, { a: 1 }), perTenant: room(4, { [DEFAULT_TENANT]: 3 }) };
  const keys = (lanes: readonly Lane[]) => lanes.map((lane) => lane.key).toSorted();
  // Of target a one, of its tenant three, of another tenant's target three.
  expect(keys(await one.claim(request))).toEqual(["a0", "b0", "b1", "c0", "c1", "c2"]);
  expect(keys(await one.claim({ ...request, lanes: 2 }))).toEqual(["a1", "b2"]);
  expect(keys(await one.claim({ ...all, perTenant: room(9, { [DEFAULT_TENANT]: 0 }) }))).toEqual(["c3", "c4"]);
  expect(keys(await one.claim(all))).toEqual(["a2", "a3", "a4", "b3", "b4"]);
});

test("a claim looks behind lanes that somebody else has locked", async () => {
  const one = queue();
  for (const n of [0, 1, 2, 3, 4, 5]) await one.add([job(`a${n}`, n)]);
  const other = connect({ url: database.url, connections: 1 });
  pools.push(other);
  await other.unsafe("begin; select from q_lanes where key in ('a0', 'a2') for update");
  const request = { ...all, lanes: 3, perTarget: room(3) };
  expect((await one.claim(request)).map((lane) => lane.key).toSorted()).toEqual(["a1", "a3", "a4"]);
  await other.unsafe("commit");
  expect((await one.claim(request)).map((lane) => lane.key).toSorted()).toEqual(["a0", "a2", "a5"]);
});

test("two queued jobs with one key are one", async () => {
  const one = queue();
  expect(await one.add([job("a", 1, { idem: "x" })])).toBe(1);
  expect(await one.add([job("a", 1, { idem: "x" }), job("a", 2, { idem: "y" })])).toBe(1);
});

test("a job is not done before its time", async () => {
  const one = queue();
  await one.add([job("a", 1, { delayMs: 60_000 })]);
  expect(await one.claim(all)).toEqual([]);
});

test("another node hears of work without polling, also after its connection was lost", async () => {
  const sql = connect({ url: database.url, connections: 2 });
  pools.push(sql);
  const wakes = [newId(), newId()].map(
    (nodeId) => new Wake({ url: database.url, sql, nodeId, clock: systemClock, log: quietLog() }),
  );
  const [here, there] = wakes;
  if (here === undefined || there === undefined) throw new Error("there are two");
  for (const wake of wakes) wake.start();
  const heard: string[] = [];
  here.on((pool) => heard.push(`here ${pool}`));
  there.on((pool) => heard.push(`there ${pool}`));
  // Listening takes a moment to begin.
  await expect.poll(listeners).toBe(2);
  here.wake("send");
  here.wake("deliver");
  expect(heard).toEqual(["here send", "here deliver"]);
  await expect.poll(() => heard.slice(2).toSorted()).toEqual(["there deliver", "there send"]);
  heard.length = 0;
  // Waits until they are gone, so that the old ones are not taken for new.
  await database.sql`
    select pg_terminate_backend(pid, 5000) from pg_stat_activity where query like 'listen%' and datname = current_database()`;
  await expect.poll(listeners, { timeout: 5_000 }).toBe(2);
  here.wake("route");
  await expect.poll(() => heard).toEqual(["here route", "there route"]);
  await Promise.all(wakes.map((wake) => wake.stop()));
});

// ── Effects and the state of events ────────────────────────────────────────────────────────────────────────────────────

const rule = { id: "00000000-0000-7000-8000-000000000101", version: 1 };

async function anEvent(): Promise<ReturnType<typeof eventId>> {
  const id = eventId(newId());
  await database.sql`
    insert into communication_events (event_id, trace_id, idempotency_key, tenant_id, source_system, external_id, event_type,
      payload, payload_version, digest, conversation_key, occurred_at, received_at)
    values (${id}, ${"a".repeat(32)}, ${`test:${id}:x`}, ${DEFAULT_TENANT}, 'test', ${id}, 'x', '{}', 1, '', ${id}, now(), now())`;
  return id;
}

/** One that the routing itself has carried out. */
function doneEffect(event: ReturnType<typeof eventId>, step: string): PlannedEffect {
  return { key: `${event}/rule/${step}`, eventId: event, rule, step, kind: "log", state: "done", detail: {} };
}

function effect(event: ReturnType<typeof eventId>, step: string): PlannedEffect {
  const key = `${event}/rule/${step}`;
  const send = job(`send/${key}`, 1, { pool: "send", handler: "send", eventId: event, payload: { key } });
  return { key, eventId: event, rule, step, kind: "send_message", state: "planned", detail: {}, job: send };
}

const statusOf = async (event: string) => {
  const [row] = await database.sql`
    select status, effects_open as open, effects_dead as dead, settled_at is not null as settled, last_error as error
    from communication_events where event_id = ${event}`;
  return row;
};

async function oneOf(one: LaneQueue, pool: "route" | "send") {
  const lane = await only(one.claim({ ...all, pool, lanes: 1 }));
  const [first] = lane.jobs;
  if (first === undefined) throw new Error("the lane is empty");
  return { lane, job: first };
}

test("an event is processed when the last of its effects is done, whatever else fails on the way", async () => {
  const one = queue();
  const event = await anEvent();
  await one.add([job("a", 1, { eventId: event })]);
  const routing = await oneOf(one, "route");
  const effects = [effect(event, "0"), effect(event, "1"), doneEffect(event, "2")];
  await one.finish({ ...routing, result: "done", routed: { status: "routed" }, effects });
  expect(await statusOf(event)).toMatchObject({ status: "routed", open: 2, dead: 0, settled: false });

  const first = await oneOf(one, "send");
  await one.finish({ ...first, result: "retry", delayMs: 0, error: "gateway away" });
  await one.release(first.lane);
  expect(await statusOf(event)).toMatchObject({ status: "failed", open: 2, error: "gateway away" });
  for (const left of [1, 0]) {
    const next = await oneOf(one, "send");
    const key = String(next.job.payload["key"]);
    await one.finish({ ...next, result: "done", settled: { key, state: "done", response: { id: "m" } } });
    expect(await statusOf(event)).toMatchObject({
      status: left === 0 ? "processed" : "routed",
      open: left,
      settled: left === 0,
    });
  }
  expect(await database.sql`select step, state, response from effects order by step`).toEqual([
    { step: "0", state: "done", response: { id: "m" } },
    { step: "1", state: "done", response: { id: "m" } },
    { step: "2", state: "done", response: null },
  ]);
});

test("an effect that is over before its routing is known to be counts as well", async () => {
  const one = queue();
  const event = await anEvent();
  await one.add([job("a", 1, { eventId: event })]);
  await one.finish({
    ...(await oneOf(one, "route")),
    result: "done",
    routed: { status: "routed" },
    effects: [doneEffect(event, "0")],
  });
  expect(await statusOf(event)).toMatchObject({ status: "processed", open: 0, settled: true });
});

test("an event that no rule wants is ignored", async () => {
  const one = queue();
  const event = await anEvent();
  await one.add([job("a", 1, { eventId: event })]);
  await one.finish({ ...(await oneOf(one, "route")), result: "done", routed: { status: "ignored" } });
  expect(await statusOf(event)).toMatchObject({ status: "ignored", settled: true });
});

test("routing again does nothing twice, and revives what is dead", async () => {
  const one = queue();
  const event = await anEvent();
  const effects = [effect(event, "0"), effect(event, "1")];
  const route = async (lane: string) => {
    await one.add([job(lane, 1, { eventId: event })]);
    await one.finish({ ...(await oneOf(one, "route")), result: "done", routed: { status: "routed" }, effects });
  };
  await route("a");
  await route("b");
  expect(await statusOf(event)).toMatchObject({ status: "routed", open: 2 });
  const [good, bad] = [await oneOf(one, "send"), await oneOf(one, "send")];
  await one.finish({ ...good, result: "done", settled: { key: String(good.job.payload["key"]), state: "done" } });
  const key = String(bad.job.payload["key"]);
  await one.finish({ ...bad, result: "dead", error: "no", settled: { key, state: "dead", error: "refused" } });
  await Promise.all([one.release(good.lane), one.release(bad.lane)]);
  expect(await statusOf(event)).toMatchObject({ status: "dead", open: 0, dead: 1, settled: true });
  expect(await one.claim({ ...all, pool: "send" })).toEqual([]);

  await route("c");
  expect(await statusOf(event)).toMatchObject({ status: "routed", open: 1, dead: 0, settled: false });
  const again = await oneOf(one, "send");
  expect(again.job.payload["key"]).toBe(key);
  await one.finish({ ...again, result: "done", settled: { key, state: "done" } });
  expect(await statusOf(event)).toMatchObject({ status: "processed", open: 0, dead: 0 });
});

test("a routing that is given up makes its event dead", async () => {
  const one = queue();
  const event = await anEvent();
  await one.add([job("a", 1, { eventId: event })]);
  await one.finish({ ...(await oneOf(one, "route")), result: "dead", error: "a bug" });
  expect(await statusOf(event)).toMatchObject({ status: "dead", error: "a bug" });
});

// ── Fuzz ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Rounds, of which each ends when all is done: a lane that stands still is woken by the next addition, and would not be seen. */
const ROUNDS = 60;
/** Statements of each of the twelve who add in a round. */
const ADDITIONS = 4;
/** A round takes 50 ms; one that takes so long stands still. */
const ROUND_LIMIT_MS = 5_000;
const KEYS = 10;

/**
 * Three producers that add batches over several lanes, two workers, nobody polls: a worker looks only when it was woken. A lost
 * wake-up is a lane that stands still, a lock in the wrong place shows as disorder, a circle of locks as an error.
 */
test("under three producers and two workers nothing is lost, done twice, or done out of order", async () => {
  const done: string[][] = Array.from({ length: KEYS }, () => []);
  const failed = new Set<string>();
  const errors: unknown[] = [];
  let added = 0;
  let ended = 0;
  const stop = new AbortController();
  const workers = [queue(4), queue(4)];

  async function work(one: LaneQueue, lane: Lane): Promise<void> {
    for (const each of lane.jobs) {
      // Every twentieth fails at first.
      if (Number(each.id) % 20 === 0 && !failed.has(each.id)) {
        failed.add(each.id);
        await one.finish({ lane, job: each, result: "retry", delayMs: 0, error: "on purpose" });
        break;
      }
      done[Number(lane.key)]?.push(each.id);
      ended += 1;
      if ((await one.finish({ lane, job: each, result: "done" })) === "lost") errors.push(`lost ${each.id}`);
    }
    await one.release(lane);
  }

  /** Claims as long as it finds something, then sleeps until it is woken. */
  async function run(one: LaneQueue): Promise<void> {
    while (!stop.signal.aborted) {
      const woken = new Promise<void>((resolve) => {
        for (const other of workers) {
          const off = other.onWork(() => {
            off();
            resolve();
          });
        }
        stop.signal.addEventListener("abort", () => resolve(), { once: true });
      });
      for (;;) {
        const lanes = await one.claim({ ...all, lanes: 4, jobsPerLane: 10, leaseMs: 30_000 });
        if (lanes.length === 0) break;
        await Promise.all(lanes.map((lane) => work(one, lane)));
      }
      await woken;
    }
  }

  async function produce(one: LaneQueue, seed: number): Promise<void> {
    for (let n = seed; n < seed + ADDITIONS; n++) {
      // Neighbouring lanes in an order that differs from batch to batch.
      const lanes = Array.from({ length: 1 + (n % 4) }, (_, k) => String((n * 7 + k * (1 + (n % 3))) % KEYS));
      const count = await one.add(lanes.map((lane) => job(lane, n)));
      added += count;
    }
  }

  const running = workers.map((one) => run(one).catch((error: unknown) => errors.push(error)));
  const [first, second] = workers;
  if (first === undefined || second === undefined) throw new Error("there are two");
  for (let round = 0; round < ROUNDS && errors.length === 0; round++) {
    const adding = [first, second, first].flatMap((one, producer) =>
      Array.from({ length: 4 }, (_, n) => produce(one, round * 97 + producer * 1_000 + n * 31)),
    );
    await Promise.all(adding).catch((error: unknown) => errors.push(error));
    for (const started = performance.now(); ended < added && performance.now() - started < ROUND_LIMIT_MS; )
      await delay(2);
    if (ended < added) errors.push(`round ${round} stands still: ${ended} of ${added}`);
  }
  stop.abort();
  await Promise.all(running);
  expect(errors).toEqual([]);
  expect(added).toBeGreaterThan(1_000);
  expect(ended).toBe(added);
  for (const lane of done) expect(lane).toEqual(lane.toSorted((a, b) => Number(a) - Number(b)));
  expect(await database.sql`select count(*)::int as jobs from q_jobs`).toEqual([{ jobs: 0 }]);
  expect(await database.sql`select key from q_lanes where next_at is not null or locked_by is not null`).toEqual([]);
}, 30_000);
