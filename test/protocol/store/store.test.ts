import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "#engine/system-clock.ts";
import { startEmbedded } from "#store/embedded/cluster.ts";
import { openStore, type Store } from "#store/store.ts";
import { aCall, NOW } from "#test/support/calls.ts";
import { quietLog } from "#test/support/quiet-log.ts";
import { anEvent } from "#test/support/router-store.ts";

/** The whole store on an embedded database, from one life of the daemon to the next. */

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync("/tmp/ponte-store-");
  chmodSync(folder, 0o755);
  // Made beforehand, so that no system user is made for a test that runs as root.
  const options = { dataDir: `${folder}/data`, log: quietLog(), durable: false, mayCreateUser: false };
  await (await startEmbedded(options)).stop();
});
afterAll(() => rmSync(folder, { recursive: true }));

const open = (): Promise<Store> =>
  openStore({ dataDir: `${folder}/data`, log: quietLog(), clock: systemClock, version: "test" });

test("what one life of the daemon left, the next one finds: records, webhooks, and calls to be ended", async () => {
  const former = await open();
  const key = await former.apiKeys.ensureFirst();
  const call = aCall();
  former.journal.record(call, [{ at: NOW, type: "call.received", data: {} }]);
  const { id } = await former.inbox.accept("meta", Buffer.from("{}"));
  // Stopping writes what waits; the call was not ended.
  await former.close();
  await former.close();

  const store = await open();
  expect(store.database.embedded).toBe(true);
  expect(store.nodeId).not.toBe(former.nodeId);
  expect(await store.apiKeys.ensureFirst()).toBeUndefined();
  expect(await store.apiKeys.verify(key?.secret ?? "")).toMatchObject({ name: "first" });
  expect((await store.inbox.unprocessed(10)).map((item) => item.id)).toEqual([id]);
  expect(await store.sweepDead()).toMatchObject([{ id: call.id, wacid: call.offer.wacid, state: "offered" }]);
  expect(await store.sweepDead()).toEqual([]);
  const found = await store.calls.get(call.id);
  expect(found?.call).toMatchObject({ state: "ended", cause: "node_lost" });
  expect(found?.events.map((event) => event.type)).toEqual(["call.received", "node_lost"]);
  await store.calls.ping();
  await store.close();
  await expect(store.calls.ping()).rejects.toMatchObject({ code: "store_unavailable" });
});

test("an event that one life of the daemon was at, the next one takes up at once", async () => {
  const former = await open();
  const event = anEvent();
  const woken: string[] = [];
  former.queue.onWork((pool) => woken.push(pool));
  await former.intake.accept(event);
  expect(woken).toEqual(["route"]);
  const claim = { pool: "route", lanes: 1, jobsPerLane: 1, leaseMs: 3_600_000 } as const;
  expect((await former.queue.claim(claim)).length).toBe(1);
  await former.close();

  const store = await open();
  expect(await store.queue.claim(claim)).toEqual([]);
  expect(await store.queue.recover()).toBe(1);
  const [lane] = await store.queue.claim(claim);
  expect(lane?.jobs.map((job) => job.eventId)).toEqual([event.eventId]);
  expect(await store.events.load(event.eventId)).toMatchObject({ status: "received" });
  await store.close();
});

test("a store that cannot be opened leaves nothing running, so that the next attempt succeeds", async () => {
  const first = await open();
  await expect(open()).rejects.toMatchObject({ code: "store_in_use" });
  await first.calls.ping();
  await first.close();
  const gone = { url: "postgresql:///x?host=/tmp/no-such-directory&user=x", log: quietLog(), clock: systemClock };
  await expect(openStore({ ...gone, version: "test" })).rejects.toMatchObject({ code: "store_unavailable" });
});
