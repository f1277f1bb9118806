import { randomBytes } from "node:crypto";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { Call } from "#core/call/call.ts";
import { uuidV7 } from "#core/id.ts";
import { systemClock } from "#engine/system-clock.ts";
import { CallReader } from "#store/call-reader.ts";
import { CallStore } from "#store/calls.ts";
import { connect, type Sql } from "#store/client.ts";
import type { Database } from "#store/database.ts";
import { type EmbeddedServer, startEmbedded } from "#store/embedded/cluster.ts";
import { CallJournal } from "#store/journal.ts";
import { migrate } from "#store/migrate.ts";
import { aCall, NOW } from "#test/support/calls.ts";
import { quietLog } from "#test/support/quiet-log.ts";

/** A server of its own, because it is killed. */
let folder: string;
let server: EmbeddedServer;
let sql: Sql;
let reader: CallReader;
let journal: CallJournal;
const log = quietLog();

beforeAll(async () => {
  folder = mkdtempSync("/tmp/ponte-journal-");
  chmodSync(folder, 0o755);
  server = await startEmbedded({ dataDir: `${folder}/data`, log, durable: false, mayCreateUser: false });
  sql = connect({ url: server.url, connections: 3 });
  await migrate({ url: server.url, log });
  reader = new CallReader({ sql } as Database);
  journal = new CallJournal({
    store: new CallStore(sql, newId()),
    clock: systemClock,
    log,
    random: () => randomBytes(16),
  });
});
afterEach(() => journal.flush(1_000));
afterAll(async () => {
  await journal.close();
  await sql.end({ timeout: 1 });
  await server.stop();
  rmSync(folder, { recursive: true });
});

const newId = () => uuidV7(Date.now(), randomBytes(16));
let count = 0;
const fresh = (): Call => ({ ...aCall({ wacid: `wacid.${++count}` }), id: newId() });
const step = (type: string, n = 0) => ({ at: NOW + n, type, data: { n } });

function ended(call: Call): Call {
  const { id, offer, receivedAt, limits, evidence } = call;
  const disposition = { result: "completed", by: "caller", cause: "hangup" } as const;
  return { id, offer, receivedAt, limits, evidence, state: "ended", disposition, endedAt: NOW + 9_000 };
}

test("a call is written in the order it was told, and known at once, before it is written", async () => {
  const call = fresh();
  journal.record(call, [step("call.received")]);
  expect(await journal.lookUp(call.offer.wacid)).toBe("duplicate");
  journal.record(call, [step("one"), step("two")]);
  journal.record(ended(call), [step("call.terminated")], { timings: { accepted_ms: 900 } });
  expect(await journal.flush(5_000)).toBe(true);
  const found = await reader.get(call.id);
  expect(found?.call).toMatchObject({ state: "ended", timings: { accepted_ms: 900 } });
  expect(found?.events.map((event) => event.type)).toEqual(["call.received", "one", "two", "call.terminated"]);
});

test("media statistics are stored in snake_case", async () => {
  const call = fresh();
  const leg = {
    ...{ packetsIn: 50, packetsOut: 49, bytesIn: 1, bytesOut: 2, lost: 0, lossRatio: 0, jitterMs: 1.5 },
    ...{ longestGapMs: 21, digitsIn: 0, digitsOut: 0, refused: { not_authentic: 3 } },
  };
  const mediaStatistics = { a: leg, b: leg, transcoding: true, fecFrames: 1, concealedFrames: 2 };
  journal.record(ended(call), [], { mediaStatistics });
  await journal.flush(5_000);
  expect((await reader.get(call.id))?.call["media_stats"]).toMatchObject({
    a: { packets_in: 50, loss_ratio: 0, refused: { not_authentic: 3 } },
    concealed_frames: 2,
  });
});

test("an end without an offer leaves one tombstone, which is known at once", async () => {
  const { wacid, channelId } = fresh().offer;
  journal.tombstone(wacid, channelId, step("caller_ended"));
  journal.tombstone(wacid, channelId, step("caller_ended"));
  expect(await journal.lookUp(wacid)).toBe("tombstone");
  await journal.flush(5_000);
  expect(await journal.lookUp(wacid)).toBe("tombstone");
  journal.tombstone(wacid, channelId, step("caller_ended"));
  await journal.flush(5_000);
  const found = await reader.get(wacid);
  expect(found?.call).toMatchObject({ tombstone: true, state: "ended", result: "cancelled" });
  expect(found?.events).toHaveLength(1);
  // Nobody needs to look at it: a call of a former life, ended by its sweeper, ends like that.
  expect(log.lines.findLast(({ message }) => message.startsWith("call record refused"))?.level).toBe("debug");
});

test("a record that the database refuses is lost alone, and said to be", async () => {
  const [good, bad] = [fresh(), fresh()];
  journal.record({ ...bad, offer: { ...bad.offer, wacid: "x".repeat(600) } }, [step("call.received")]);
  journal.record(good, [step("call.received")]);
  await journal.flush(5_000);
  expect((await reader.get(good.id))?.events).toHaveLength(1);
  expect(await reader.get(bad.id)).toBeUndefined();
  expect(journal.figures.dropped).toBe(1);
});

test("a database that is killed and comes back loses nothing, in order, while nobody waits for it", async () => {
  const calls = Array.from({ length: 50 }, fresh);
  let longestMs = 0;
  const told = (call: Call, n: number) => {
    const before = performance.now();
    journal.record(call, [step(`step-${n}`, n)]);
    longestMs = Math.max(longestMs, performance.now() - before);
  };
  const pid = server.pid() ?? 0;
  for (let n = 0; n < 60; n++) {
    for (const call of calls) told(call, n);
    if (n === 10) process.kill(pid, "SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  for (const call of calls) journal.record(ended(call), [step("call.terminated", 60)]);
  expect(await journal.flush(10_000)).toBe(true);
  expect(server.pid()).not.toBe(pid);
  const types = [...Array.from({ length: 60 }, (_, n) => `step-${n}`), "call.terminated"];
  for (const call of calls) {
    const found = await reader.get(call.id);
    expect(found?.call["state"]).toBe("ended");
    expect(found?.events.map((event) => event.type)).toEqual(types);
  }
  expect(longestMs).toBeLessThan(50);
});

test("says that the database is away rather than letting a caller wait", async () => {
  const gone = connect({ url: "postgresql:///x?host=/tmp/no-such-directory&user=x", connections: 1 });
  const lost = new CallJournal({
    store: new CallStore(gone, newId()),
    clock: systemClock,
    log: quietLog(),
    random: () => randomBytes(16),
  });
  await expect(lost.lookUp("wacid.unknown")).rejects.toMatchObject({ code: "store_unavailable", retryable: true });
  await gone.end({ timeout: 0 });
});
