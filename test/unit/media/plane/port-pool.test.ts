import { expect, test } from "vitest";
import { PORT_DRAIN_MS, PortPool } from "#media/plane/port-pool.ts";

test("gives even ports whose successor is in the range, each once", () => {
  const pool = new PortPool(20_001, 20_007, () => 0);
  expect([pool.take(), pool.take(), pool.take(), pool.take()]).toEqual([20_002, 20_004, 20_006, undefined]);
});

test("a port that was given back rests for 30 s, and the one that rested longest comes first", () => {
  let now = 0;
  const pool = new PortPool(20_000, 20_003, () => now);
  const [first = 0, second = 0] = [pool.take(), pool.take()];
  pool.giveBack(second);
  now = 1_000;
  pool.giveBack(first);
  now = PORT_DRAIN_MS - 1;
  expect(pool.take()).toBeUndefined();
  now = PORT_DRAIN_MS;
  expect([pool.take(), pool.take()]).toEqual([second, undefined]);
  now = PORT_DRAIN_MS + 1_000;
  expect(pool.take()).toBe(first);
});
