import { expect, test } from "vitest";
import { RETRY_WAITS_MS, retryDelayMs } from "#router/webhooks/schedule.ts";

test("waits from five seconds to ten hours, each longer than the one before, and then gives up", () => {
  const waits = RETRY_WAITS_MS.map((_, index) => retryDelayMs(index + 1, 0.5));
  expect(waits[0]).toBe(5_000);
  expect(waits.at(-1)).toBe(10 * 3_600_000);
  expect(waits).toEqual([...waits].sort((one, other) => (one ?? 0) - (other ?? 0)));
  expect(retryDelayMs(RETRY_WAITS_MS.length + 1, 0.5)).toBeUndefined();
});

test("chance moves a wait by a fifth at most", () => {
  expect([0, 0.25, 1].map((chance) => retryDelayMs(1, chance))).toEqual([4_000, 4_500, 6_000]);
});
