import { expect, test } from "vitest";
import { WriteBehind } from "#store/write-behind.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { quietLog } from "#test/support/quiet-log.ts";

interface Item {
  readonly key: string;
  readonly text: string;
}

const away = () => Object.assign(new Error("gone"), { code: "ECONNREFUSED" });
const turn = () => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));

function queue(options: { readonly maxPending?: number; readonly maxBatch?: number } = {}) {
  const clock = new FakeClock();
  const written: string[][] = [];
  /** What the next statements do: fail like this, or pass. */
  const fate: ((items: readonly Item[]) => Promise<void> | undefined)[] = [];
  const behind = new WriteBehind<Item>({
    name: "test",
    clock,
    log: quietLog(),
    maxBatch: options.maxBatch ?? 10,
    maxPending: options.maxPending ?? 10,
    merge: (older, newer) => ({ key: newer.key, text: older.text + newer.text }),
    write: async (items) => {
      await fate.shift()?.(items);
      written.push(items.map((item) => item.text));
    },
  });
  const put = (key: string, text: string) => behind.put(key, { key, text });
  return { behind, clock, written, fate, put };
}

test("what comes in one turn goes with one statement, merged by key, in order", async () => {
  const { written, put, behind } = queue();
  put("a", "1");
  put("b", "1");
  put("a", "2");
  expect(await behind.flush(1_000)).toBe(true);
  expect(written).toEqual([["12", "1"]]);
});

test("what comes while a statement is under way goes with the next, behind the older of its key", async () => {
  const { written, put, behind, fate } = queue();
  let release: () => void = () => undefined;
  fate.push(() => new Promise<void>((resolve) => (release = resolve)));
  put("a", "1");
  await turn();
  put("a", "2");
  expect(behind.waiting("a")?.text).toBe("2");
  release();
  await behind.flush(1_000);
  expect(written).toEqual([["1"], ["2"]]);
});

test("keeps the order when a statement fails and newer news of the same key came meanwhile", async () => {
  const { written, put, behind, fate, clock } = queue();
  let fail: (error: Error) => void = () => undefined;
  fate.push(() => new Promise<void>((_, reject) => (fail = reject)));
  put("a", "1");
  put("b", "1");
  await turn();
  put("c", "1");
  put("a", "2");
  fail(away());
  await turn();
  expect(clock.pending).toBe(1);
  clock.advance(100);
  await turn();
  expect(written).toEqual([["12", "1", "1"]]);
  expect(behind.pending).toBe(0);
  expect(clock.pending).toBe(0);
});

test("waits longer after each attempt, up to two seconds, while the database is away", async () => {
  const { written, put, fate, clock } = queue();
  for (let n = 0; n < 7; n++) fate.push(() => Promise.reject(away()));
  put("a", "1");
  await turn();
  for (const ms of [100, 200, 400, 800, 1_600, 2_000]) {
    clock.advance(ms - 1);
    await turn();
    expect(clock.pending).toBe(1);
    clock.advance(1);
    await turn();
  }
  expect(written).toEqual([]);
  clock.advance(2_000);
  await turn();
  expect(written).toEqual([["1"]]);
});

test("drops what does not fit and says so, and goes on merging into what waits", async () => {
  const { written, put, behind, fate, clock } = queue({ maxPending: 2 });
  fate.push(() => Promise.reject(away()));
  put("a", "1");
  put("b", "1");
  put("c", "1");
  put("a", "2");
  await turn();
  clock.advance(100);
  await turn();
  expect(written).toEqual([["12", "1"]]);
  expect(behind.dropped).toBe(1);
});

test("one item that the database refuses does not take its neighbours with it", async () => {
  const { written, put, behind, fate } = queue();
  const refuse = (items: readonly Item[]) =>
    items.some((item) => item.text === "bad") ? Promise.reject(new Error("invalid input syntax")) : undefined;
  for (let n = 0; n < 4; n++) fate.push(refuse);
  put("a", "good");
  put("b", "bad");
  put("c", "fine");
  await behind.flush(1_000);
  expect(written).toEqual([["good"], ["fine"]]);
  expect(behind.dropped).toBe(1);
});

test("close gives up after its limit and leaves no timer", async () => {
  const { put, behind, fate, clock } = queue();
  for (let n = 0; n < 20; n++) fate.push(() => Promise.reject(away()));
  put("a", "1");
  await turn();
  const closed = behind.close(500);
  await turn();
  clock.advance(500);
  await closed;
  expect(behind.dropped).toBe(1);
  expect(clock.pending).toBe(0);
});

test("splits what waits into batches", async () => {
  const { written, put, behind } = queue({ maxBatch: 2 });
  for (const key of ["a", "b", "c", "d", "e"]) put(key, key);
  await behind.flush(1_000);
  expect(written).toEqual([["a", "b"], ["c", "d"], ["e"]]);
});

test("says when what waits now is written, whatever comes behind it, fails or is refused", async () => {
  const { put, behind, fate, clock } = queue({ maxBatch: 1 });
  await behind.written();
  const told: string[] = [];
  const releases: ((error?: Error) => void)[] = [];
  const held = () =>
    new Promise<void>((resolve, reject) => releases.push((error) => (error === undefined ? resolve() : reject(error))));
  fate.push(held, held, held, held);
  put("a", "1");
  await turn();
  put("a", "2");
  void behind.written().then(() => told.push("both of a"));
  put("b", "1");
  void behind.written().then(() => told.push("a and b"));
  // The first of a fails and waits again, joined with the second.
  releases[0]?.(away());
  await turn();
  clock.advance(100);
  await turn();
  expect(told).toEqual([]);
  releases[1]?.();
  await turn();
  expect(told).toEqual(["both of a"]);
  put("c", "1");
  releases[2]?.(new Error("refused"));
  await turn();
  expect(told).toEqual(["both of a"]);
  releases[3]?.(new Error("refused again, alone, and dropped"));
  await turn();
  expect(told).toEqual(["both of a", "a and b"]);
  expect(behind.dropped).toBe(1);
  await behind.flush(1_000);
});
