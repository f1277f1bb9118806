import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { uuidV7 } from "#core/id.ts";
import { systemClock } from "#engine/system-clock.ts";
import { connect } from "#store/client.ts";
import { WebhookInbox } from "#store/inbox.ts";
import { Node } from "#store/nodes.ts";
import { startChild } from "#test/support/child.ts";
import { type TestDatabase, withDatabase } from "#test/support/database.ts";
import { quietLog } from "#test/support/quiet-log.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await withDatabase();
});
afterEach(() => database.sql`truncate webhook_inbox, nodes`);
afterAll(() => database.drop());

const newId = () => uuidV7(Date.now(), randomBytes(16));

interface Options {
  readonly nodeId?: string;
  readonly url?: string;
  readonly recorded?: () => Promise<void>;
}

function inbox(options: Options = {}): WebhookInbox {
  return new WebhookInbox({
    sql: options.url === undefined ? database.sql : connect({ url: options.url, connections: 1 }),
    nodeId: options.nodeId ?? newId(),
    clock: systemClock,
    log: quietLog(),
    random: () => randomBytes(16),
    ...(options.recorded === undefined ? {} : { recorded: options.recorded }),
  });
}

async function start(): Promise<Node> {
  const node = new Node({ url: database.url, nodeId: newId(), version: "test", clock: systemClock, log: quietLog() });
  await node.start();
  return node;
}

const body = (n: number) => Buffer.from(`{"n":${n},"name":"Jos\\u00e9 \\/ \u00e9"}`);

test("a body is stored byte for byte before it is acknowledged", async () => {
  // Not even valid UTF-8.
  const odd = Buffer.from([0x7b, 0x00, 0xff, 0xfe, 0x7d]);
  const { id, duplicate } = await inbox().accept("meta", odd);
  expect(duplicate).toBe(false);
  const [row] = await database.sql`select body, processed_at from webhook_inbox where id = ${id}`;
  expect(row).toEqual({ body: odd, processed_at: null });
});

test("the same body again is a duplicate: at once, later, and on another node", async () => {
  const [one, other] = [inbox(), inbox()];
  const together = await Promise.all([one.accept("meta", body(1)), one.accept("meta", body(1))]);
  expect(together.map((answer) => answer.duplicate).toSorted()).toEqual([false, true]);
  const again = [await one.accept("meta", body(1)), await other.accept("meta", body(1))];
  expect(again.map((answer) => answer.duplicate)).toEqual([true, true]);
  expect(new Set([...together, ...again].map((answer) => answer.id)).size).toBe(1);
});

test("a webhook stays open until what came of it is on record", async () => {
  const recorded = Promise.withResolvers<void>();
  const one = inbox({ recorded: () => recorded.promise });
  const { id } = await one.accept("meta", body(1));
  one.done(id);
  const processed = async () => (await database.sql`select processed_at from webhook_inbox`)[0]?.["processed_at"];
  expect(await one.flush(100)).toBe(false);
  expect(await processed()).toBeNull();
  recorded.resolve();
  expect(await one.flush(5_000)).toBe(true);
  expect(await processed()).not.toBeNull();
});

test("a thousand at once are each stored, in few statements", async () => {
  const one = inbox();
  const answers = await Promise.all(Array.from({ length: 1_000 }, (_, n) => one.accept("meta", body(n))));
  expect(answers.every((answer) => !answer.duplicate)).toBe(true);
  const [row] = await database.sql`
    select count(*)::int as rows, count(distinct xmin::text)::int as statements from webhook_inbox`;
  expect(row?.["rows"]).toBe(1_000);
  expect(row?.["statements"]).toBeLessThan(20);
});

test("what was worked off is not handed out again; what was not, is, by the next process", async () => {
  const former = inbox();
  const first = await former.accept("meta", body(1));
  const second = await former.accept("meta", body(2));
  const third = await former.accept("meta", body(3));
  former.done(second.id);
  former.done(third.id, "no channel of that name");
  await former.flush(5_000);
  expect(await former.unprocessed(10)).toEqual([]);
  const items = await inbox().unprocessed(10);
  expect(items.map((item) => [item.id, item.body.toString()])).toEqual([[first.id, body(1).toString()]]);
  const [row] = await database.sql`select error from webhook_inbox where id = ${third.id}`;
  expect(row?.["error"]).toBe("no channel of that name");
});

test("bodies of a node that lives are left to it, those of a dead one go to one other", async () => {
  const nodes = await Promise.all([start(), start(), start()]);
  const [alive, one, other] = nodes.map((node) => inbox({ nodeId: node.id }));
  if (alive === undefined || one === undefined || other === undefined) throw new Error("three were made");
  await alive.accept("meta", body(1));
  const { id } = await inbox().accept("meta", body(2));
  const taken = await Promise.all([one.unprocessed(10), other.unprocessed(10)]);
  expect(taken.flat().map((item) => item.id)).toEqual([id]);
  await Promise.all(nodes.map((node) => node.stop()));
});

test("a body whose commit was never heard of is handed out by its own node", async () => {
  const nodeId = newId();
  const { id } = await inbox({ nodeId }).accept("meta", body(1));
  // The same node, without the memory of having handed it out.
  const one = inbox({ nodeId });
  expect(await one.accept("meta", body(1))).toEqual({ id, duplicate: false });
  expect(await one.accept("meta", body(1))).toEqual({ id, duplicate: true });
  expect((await inbox({ nodeId }).unprocessed(10)).map((item) => item.id)).toEqual([id]);
});

test("a body that ends every process that touches it is left alone in the end", async () => {
  await inbox().accept("meta", body(1));
  const takes: number[] = [];
  for (let life = 0; life < 6; life++) takes.push((await inbox().unprocessed(10)).length);
  expect(takes).toEqual([1, 1, 1, 1, 0, 0]);
});

test("says at once that the database is away", async () => {
  const lost = inbox({ url: "postgresql:///x?host=/tmp/no-such-directory&user=x" });
  await expect(lost.accept("meta", body(1))).rejects.toMatchObject({ code: "store_unavailable", retryable: true });
  expect(lost.figures).toEqual({ queued: 0, open: 0 });
});

test("refuses more than it may hold, and takes again when there is room", async () => {
  const one = inbox();
  const large = Array.from({ length: 30 }, (_, n) => Buffer.alloc(3 * 1_048_576, n));
  const outcomes = await Promise.allSettled(large.map((one_) => one.accept("meta", one_)));
  const refused = outcomes.filter((outcome) => outcome.status === "rejected");
  expect(refused.length).toBeGreaterThan(0);
  expect(refused.every((outcome) => outcome.reason.code === "store_overloaded")).toBe(true);
  expect(outcomes.length - refused.length).toBe(21);
  expect(await one.accept("meta", body(1))).toMatchObject({ duplicate: false });
});

test("forgets what was worked off long ago", async () => {
  const one = inbox();
  one.done((await one.accept("meta", body(1))).id);
  await one.accept("meta", body(2));
  await one.flush(5_000);
  expect(await one.prune(new Date(Date.now() + 1_000), 10)).toBe(1);
});

test("a process that is killed in a stream of webhooks loses none that it has acknowledged", async () => {
  const child = startChild(["inbox", database.url]);
  const acknowledged = new Set<number>();
  while (acknowledged.size < 1_500) acknowledged.add(Number((await child.line())["n"]));
  await child.kill();
  const rows = await database.sql<{ readonly body: Buffer; readonly done: boolean }[]>`
    select body, processed_at is not null as done from webhook_inbox`;
  const stored = new Map(rows.map((row) => [JSON.parse(row.body.toString()).n as number, row.done]));
  expect([...acknowledged].filter((n) => !stored.has(n))).toEqual([]);
  // The next process takes up all that was not worked off, each once.
  const items = await inbox().unprocessed(1_000_000);
  const open = [...stored].filter(([, done]) => !done).map(([n]) => n);
  expect(items.map((item) => JSON.parse(item.body.toString()).n).toSorted((a, b) => a - b)).toEqual(
    open.toSorted((a, b) => a - b),
  );
  expect(open.length).toBeGreaterThan(500);
});
