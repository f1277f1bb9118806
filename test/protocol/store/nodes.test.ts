import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { uuidV7 } from "#core/id.ts";
import { CallReader } from "#store/call-reader.ts";
import { rowOf } from "#store/call-row.ts";
import { CallStore } from "#store/calls.ts";
import type { Database } from "#store/database.ts";
import { LOCK_GRACE_MS, Node, SILENCE_LIMIT_MS } from "#store/nodes.ts";
import { sweepDead } from "#store/sweep.ts";
import { aCall } from "#test/support/calls.ts";
import { type TestDatabase, withDatabase } from "#test/support/database.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { quietLog } from "#test/support/quiet-log.ts";

let database: TestDatabase;
const nodes: Node[] = [];
const newId = () => uuidV7(Date.now(), randomBytes(16));
/** A node that has been watching the database for long enough to judge. */
const watching = { sole: false, healthyForMs: 60_000 };

beforeAll(async () => {
  database = await withDatabase();
});
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.stop();
  await database.sql`truncate whatsapp_calls, nodes cascade`;
});
afterAll(() => database.drop());

async function node(clock = new FakeClock()): Promise<Node> {
  const one = new Node({ url: database.url, nodeId: newId(), version: "test", clock, log: quietLog() });
  nodes.push(one);
  await one.start();
  return one;
}

async function callOf(nodeId: string): Promise<string> {
  const id = newId();
  const call = { ...aCall({ wacid: `wacid.${id}` }), id };
  await new CallStore(database.sql, nodeId).write([rowOf(call, [])], []);
  return id;
}

/** Ends a node's connection as its death would. */
async function crash(nodeId: string): Promise<void> {
  await database.sql`
    select pg_terminate_backend(l.pid) from pg_locks l join nodes n on n.id = ${nodeId}
    where l.locktype = 'advisory' and l.classid::bigint = n.lock_key >> 32 and l.objid::bigint = n.lock_key & 4294967295`;
}

const silentFor = (nodeId: string, ms: number) =>
  database.sql`update nodes set seen_at = now() - ${ms} * interval '1 millisecond' where id = ${nodeId}`;

test("a node that lives keeps its calls", async () => {
  const [alive, judge] = [await node(), await node()];
  await callOf(alive.id);
  await silentFor(alive.id, LOCK_GRACE_MS + 1_000);
  expect(await sweepDead(database.sql, judge.id, watching)).toEqual([]);
});

test("calls of a node that crashed are ended, and told to one sweeper only", async () => {
  const [dead, judge, rival] = [await node(), await node(), await node()];
  const id = await callOf(dead.id);
  await crash(dead.id);
  await silentFor(dead.id, LOCK_GRACE_MS + 1_000);
  const sweeps = await Promise.all([
    sweepDead(database.sql, judge.id, watching),
    sweepDead(database.sql, rival.id, watching),
  ]);
  expect(sweeps.flat()).toEqual([{ id, wacid: `wacid.${id}`, channelId: aCall().offer.channelId, state: "offered" }]);
  const found = await new CallReader({ sql: database.sql } as Database).get(id);
  expect(found?.call).toMatchObject({ state: "ended", result: "failed", cause: "node_lost", ended_by: "ponte" });
  expect(found?.events).toMatchObject([{ type: "node_lost", data: { from: "offered", node_id: dead.id } }]);
  // It was only thought dead: what it still writes is refused.
  expect(
    await new CallStore(database.sql, dead.id).write([rowOf({ ...aCall({ wacid: `wacid.${id}` }), id }, [])], []),
  ).toEqual(new Set());
});

test("a short silence without a lock is a reconnect", async () => {
  const [reconnecting, judge] = [await node(), await node()];
  await callOf(reconnecting.id);
  await crash(reconnecting.id);
  expect(await sweepDead(database.sql, judge.id, watching)).toEqual([]);
});

test("a node whose host has vanished is dead although its connection lingers", async () => {
  const [vanished, judge] = [await node(), await node()];
  const id = await callOf(vanished.id);
  await silentFor(vanished.id, SILENCE_LIMIT_MS + 1_000);
  expect((await sweepDead(database.sql, judge.id, watching)).map((call) => call.id)).toEqual([id]);
});

test("nobody is declared dead by a node that has only just reached the database itself", async () => {
  const [other, judge] = [await node(), await node()];
  await callOf(other.id);
  await crash(other.id);
  await silentFor(other.id, SILENCE_LIMIT_MS + 1_000);
  expect(await sweepDead(database.sql, judge.id, { sole: false, healthyForMs: 1_000 })).toEqual([]);
});

test("calls of a node that left without ending them are nobody's, and are ended at once", async () => {
  const [leaving, judge] = [await node(), await node()];
  const id = await callOf(leaving.id);
  await leaving.stop();
  expect((await sweepDead(database.sql, judge.id, { sole: false, healthyForMs: 0 })).map((call) => call.id)).toEqual([
    id,
  ]);
});

test("in a database of our own every other node is a former life", async () => {
  const [former, now] = [await node(), await node()];
  const id = await callOf(former.id);
  const own = await callOf(now.id);
  const swept = await sweepDead(database.sql, now.id, { sole: true, healthyForMs: 0 });
  expect(swept.map((call) => call.id)).toEqual([id]);
  const [row] = await database.sql`select state from whatsapp_calls where id = ${own}`;
  expect(row?.["state"]).toBe("offered");
});

test("a heartbeat renews the row, takes a lost lock again, and stops with the node", async () => {
  const clock = new FakeClock();
  const one = await node(clock);
  await crash(one.id);
  await silentFor(one.id, 60_000);
  const beat = async () => {
    clock.advance(1_000);
    await expect.poll(() => clock.pending).toBe(1);
  };
  await expect.poll(() => one.healthyForMs()).toBe(0);
  await beat();
  await beat();
  const [row] = await database.sql`select extract(epoch from now() - seen_at)::float as silent_s, lock_key from nodes`;
  expect(row?.["silent_s"]).toBeLessThan(30);
  const [held] = await database.sql`
    select count(*)::int as n from pg_locks l join nodes n on l.objid::bigint = n.lock_key & 4294967295
    where l.locktype = 'advisory' and l.granted`;
  expect(held?.["n"]).toBe(1);
  await one.stop();
  expect(clock.pending).toBe(0);
  const [left] = await database.sql`select count(*)::int as n from nodes`;
  expect(left?.["n"]).toBe(0);
});
