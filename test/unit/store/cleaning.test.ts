import { afterEach, expect, test } from "vitest";
import { Cleaning, type Removal } from "#store/cleaning.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { quietLog } from "#test/support/quiet-log.ts";

const clock = new FakeClock();
let cleaning: Cleaning;
afterEach(async () => {
  await cleaning.stop();
  expect(clock.pending).toBe(0);
});

function start(...removals: Removal[]) {
  const log = quietLog();
  cleaning = new Cleaning({ removals, clock, log });
  cleaning.start();
  return log;
}

/** A table with so many old rows. */
function table(rows: number) {
  const state = { rows, batches: 0 };
  const removal: Removal = async (limit) => {
    const gone = Math.min(limit, state.rows);
    state.rows -= gone;
    state.batches += 1;
    return gone;
  };
  return { state, removal };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

async function pass(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 50) {
    await settle();
    clock.advance(50);
  }
  await settle();
}

test("what is old is removed batch by batch until nothing is left of it, and what has become old a minute later", async () => {
  const [events, lanes] = [table(25_500), table(0)];
  start(lanes.removal, events.removal);
  await settle();
  // Others get at the disk in between.
  expect(events.state.batches).toBe(1);
  await pass(2_000);
  expect(events.state).toEqual({ rows: 0, batches: 26 });
  lanes.state.rows = 10;
  await pass(60_000);
  expect(lanes.state.rows).toBe(0);
});

test("one kind that cannot be removed does not keep the others, and is tried again", async () => {
  const events = table(10);
  const log = start(() => Promise.reject(new Error("away")), events.removal);
  await settle();
  expect(events.state.rows).toBe(0);
  expect(log.lines.map(({ level }) => level)).toEqual(["warn"]);
  await pass(60_000);
  expect(log.lines).toHaveLength(2);
});

test("a stop waits for one batch, not for all", async () => {
  const events = table(100_000);
  start(events.removal);
  await settle();
  await cleaning.stop();
  expect(events.state.batches).toBe(1);
});

test("a stop in the middle of a batch is the end when the batch is", async () => {
  let end: ((gone: number) => void) | undefined;
  start(() => new Promise((resolve) => (end = resolve)));
  await settle();
  const stopped = cleaning.stop();
  end?.(1_000);
  await stopped;
});
