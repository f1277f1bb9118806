import { expect, test } from "vitest";
import { DEFAULT_CONNECTIONS, MIN_CONNECTIONS, shareConnections } from "#store/connection-shares.ts";

test("a daemon opens what it is allowed, sessions for heartbeat and LISTEN included", () => {
  expect(shareConnections(DEFAULT_CONNECTIONS)).toEqual({ common: 8, workers: 3, hurriedWorkers: 7, inbox: 8 });
  for (let total = MIN_CONNECTIONS; total <= 200; total++) {
    const pools = Object.values(shareConnections(total));
    expect(pools.reduce((sum, size) => sum + size, 2)).toBe(total);
    expect(Math.min(...pools)).toBeGreaterThanOrEqual(1);
  }
});
