import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Call, EndedCall } from "#core/call/call.ts";
import { uuidV7 } from "#core/id.ts";
import type { CallRecord } from "#engine/ports.ts";
import { CallReader } from "#store/call-reader.ts";
import { type CallRow, rowOf, tombstoneRow } from "#store/call-row.ts";
import { CallStore } from "#store/calls.ts";
import type { Database } from "#store/database.ts";
import { aCall, NOW } from "#test/support/calls.ts";
import { type TestDatabase, withDatabase } from "#test/support/database.ts";

let database: TestDatabase;
let mine: CallStore;
let others: CallStore;
let reader: CallReader;

const newId = () => uuidV7(Date.now(), randomBytes(16));

beforeAll(async () => {
  database = await withDatabase();
  mine = new CallStore(database.sql, newId());
  others = new CallStore(database.sql, newId());
  reader = new CallReader({ sql: database.sql } as Database);
});
afterAll(() => database.drop());

let count = 0;
function fresh(): Call {
  count += 1;
  return { ...aCall({ wacid: `wacid.${count}=` }), id: newId() };
}

function bridged(call: Call): Call {
  const { id, offer, receivedAt, limits, evidence } = call;
  const route = { handler: "bridge", trunk: "office", target: "600" } as const;
  return { id, offer, receivedAt, limits, evidence, route, state: "bridged", answeredAt: NOW + 900 };
}

function ended(call: Call, changes: Partial<EndedCall> = {}): EndedCall {
  const { id, offer, receivedAt, limits, evidence } = call;
  const disposition = { result: "completed", by: "pbx", cause: "hangup" } as const;
  return { id, offer, receivedAt, limits, evidence, state: "ended", disposition, endedAt: NOW + 9_000, ...changes };
}

const event = (call: Call, seq: number, type: string) => ({
  call_id: call.id,
  seq,
  at: new Date(NOW + seq).toISOString(),
  type,
  data: { seq },
});

const write = (store: CallStore, ...calls: Call[]) =>
  store.write(
    calls.map((call) => rowOf(call, [])),
    [],
  );

async function stored(call: Call): Promise<CallRecord> {
  const found = await reader.get(call.id);
  if (found === undefined) throw new Error("not stored");
  return found.call;
}

test("a call and its events are stored together, and told again change nothing", async () => {
  const call = fresh();
  const events = [event(call, 2, "second"), event(call, 1, "first")];
  for (let n = 0; n < 2; n++) expect(await mine.write([rowOf(call, [])], events)).toEqual(new Set([call.id]));
  const found = await reader.get(call.id);
  expect(found?.call).toMatchObject({
    state: "offered",
    from_number: "5511987654321",
    profile_name: "Ana",
    received_at: new Date(NOW).toISOString(),
    tombstone: false,
    result: null,
  });
  expect(found?.events).toEqual([
    { at: NOW + 1, type: "first", data: { seq: 1 } },
    { at: NOW + 2, type: "second", data: { seq: 2 } },
  ]);
  expect((await reader.get(call.offer.wacid))?.call.id).toBe(call.id);
});

test("a call moves forward only", async () => {
  const call = fresh();
  await write(mine, bridged(call));
  await write(mine, call);
  expect(await stored(call)).toMatchObject({ state: "bridged", trunk: "office" });
});

test("an ended call never revives, and how it ended stays", async () => {
  const call = fresh();
  await write(mine, ended(call));
  await write(mine, bridged(call));
  const disposition = { result: "failed", by: "ponte", cause: "media_dead" } as const;
  await write(mine, ended(call, { disposition, endedAt: NOW + 20_000 }));
  expect(await stored(call)).toMatchObject({
    state: "ended",
    result: "completed",
    cause: "hangup",
    ended_at: new Date(NOW + 9_000).toISOString(),
  });
});

test("Meta's account of an ended call is added to it", async () => {
  const call = fresh();
  await write(mine, ended(call));
  await write(mine, ended(call, { summary: { status: "COMPLETED", durationS: 8 } }));
  expect(await stored(call)).toMatchObject({ state: "ended", meta_status: "COMPLETED", meta_duration_s: 8 });
});

test("a node does not write to another node's call", async () => {
  const call = fresh();
  await write(mine, call);
  expect(await others.write([rowOf(ended(call), [])], [event(call, 1, "stolen")])).toEqual(new Set());
  const found = await reader.get(call.id);
  expect(found?.call).toMatchObject({ state: "offered" });
  expect(found?.events).toEqual([]);
});

test("the same call offered to two nodes at once is one node's call", async () => {
  const call = fresh();
  const twin = { ...call, id: newId() };
  const results = await Promise.allSettled([write(mine, call), write(others, twin)]);
  const won = results.filter((one) => one.status === "fulfilled" && one.value.size === 1);
  expect(won).toHaveLength(1);
  const [row] = await database.sql`select count(*)::int as n from whatsapp_calls where wacid = ${call.offer.wacid}`;
  expect(row?.["n"]).toBe(1);
});

test("an offer that comes after its end is refused", async () => {
  const call = fresh();
  await mine.write([tombstoneRow(newId(), call.offer.wacid, call.offer.channelId, NOW)], []);
  expect(await mine.lookUp(call.offer.wacid)).toBe("tombstone");
  expect(await write(mine, call)).toEqual(new Set());
  expect(await reader.get(call.id)).toBeUndefined();
});

test("an end that comes after its offer leaves no tombstone", async () => {
  const call = fresh();
  await write(mine, call);
  const tombstone: CallRow = tombstoneRow(newId(), call.offer.wacid, call.offer.channelId, NOW);
  expect(await mine.write([tombstone], [])).toEqual(new Set());
  expect(await mine.lookUp(call.offer.wacid)).toBe("duplicate");
});

test("an unknown call id is new", async () => {
  expect(await mine.lookUp("wacid.never-seen")).toBe("new");
});

test("callers may be without number, and their names may hold anything", async () => {
  const call = fresh();
  const caller = { userId: "BR.13491208655302741918", profileName: "Ana \u0000\ud83d'; drop table x" };
  await write(mine, { ...call, offer: { ...call.offer, caller } });
  expect(await stored(call)).toMatchObject({
    from_number: null,
    from_user_id: "BR.13491208655302741918",
    profile_name: "Ana \ufffd'; drop table x",
  });
});

test("lists newest first, page by page, each call once", async () => {
  const channelId = "a-channel-of-its-own";
  const calls = Array.from({ length: 7 }, (_, n): Call => {
    const call = fresh();
    // Three of them in the same millisecond.
    return { ...call, receivedAt: NOW + Math.floor(n / 3), offer: { ...call.offer, channelId } };
  });
  await write(mine, ...calls);
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await reader.list({ channelId, limit: 3, ...(cursor === undefined ? {} : { cursor }) });
    seen.push(...page.calls.map((call) => call.id));
    cursor = page.next;
  } while (cursor !== undefined);
  const newestFirst = calls.toSorted((a, b) => b.receivedAt - a.receivedAt || (a.id < b.id ? 1 : -1));
  expect(seen).toEqual(newestFirst.map((call) => call.id));
});

test("lists by state and by result", async () => {
  const channelId = "another-channel";
  const calls = [fresh(), fresh()].map((call): Call => ({ ...call, offer: { ...call.offer, channelId } }));
  const [alive, over] = calls;
  if (alive === undefined || over === undefined) throw new Error("two calls were made");
  await write(mine, alive, ended(over));
  const ids = async (query: { readonly state?: string; readonly result?: string }) =>
    (await reader.list({ channelId, limit: 10, ...query })).calls.map((call) => call.id);
  expect(await ids({ state: "offered" })).toEqual([alive.id]);
  expect(await ids({ result: "completed" })).toEqual([over.id]);
  expect(await ids({ result: "busy" })).toEqual([]);
});

test.each(["", "x", "bm9uc2Vuc2U"])("refuses the cursor %j", async (cursor) => {
  await expect(reader.list({ limit: 1, cursor })).rejects.toMatchObject({ code: "bad_cursor" });
});

test("an id that is none finds nothing", async () => {
  expect(await reader.get("'; select 1")).toBeUndefined();
});
