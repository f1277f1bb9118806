import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { uuidV7 } from "#core/id.ts";
import { CallReader } from "#store/call-reader.ts";
import { rowOf } from "#store/call-row.ts";
import { CallStore } from "#store/calls.ts";
import type { Database } from "#store/database.ts";
import { aCall, NOW } from "#test/support/calls.ts";
import { type TestDatabase, withDatabase } from "#test/support/database.ts";

let database: TestDatabase;

beforeAll(async () => {
  database = await withDatabase();
});
afterAll(() => database.drop());

test("a row is never older than the timeline that is shown with it", async () => {
  const store = new CallStore(database.sql, uuidV7(Date.now(), randomBytes(16)));
  const reader = new CallReader({ sql: database.sql } as Database);
  const call = { ...aCall(), id: uuidV7(Date.now(), randomBytes(16)) };
  let step = 0;
  const tell = () => {
    step += 1;
    const event = { call_id: call.id, seq: step, at: new Date(NOW + step).toISOString(), type: "step", data: { step } };
    return store.write([rowOf(call, [], { timings: { step } })], [event]);
  };
  await tell();
  const writing = (async () => {
    while (step < 150) await tell();
  })();
  const torn: unknown[] = [];
  while (step < 150) {
    const found = await reader.get(call.id);
    const timings = found?.call["timings"] as { readonly step: number };
    if (timings.step !== found?.events.at(-1)?.data["step"]) torn.push([timings, found?.events.length]);
  }
  await writing;
  expect(torn).toEqual([]);
});
