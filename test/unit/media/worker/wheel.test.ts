import { expect, test } from "vitest";
import { Wheel } from "#media/worker/wheel.ts";
import { FakeClock } from "#test/support/fake-clock.ts";

test("every task runs once in 20 ms, spread over four slots, without drift", () => {
  const clock = new FakeClock();
  const wheel = new Wheel(clock);
  const ran = Array.from({ length: 8 }, () => [] as number[]);
  const start = clock.now();
  const leave = ran.map((times) => wheel.add((at) => times.push(at - start)));
  clock.advance(10_000);
  for (const times of ran) expect(times).toHaveLength(500);
  expect(new Set(ran.map((times) => (times[0] ?? 0) % 20)).size).toBe(4);
  expect(ran[0]?.slice(1).every((at, n) => at - (ran[0]?.[n] ?? 0) === 20)).toBe(true);
  for (const quit of leave) quit();
  expect(clock.pending).toBe(0);
});

test("a timer that is always late does not make the wheel slow", () => {
  const clock = new FakeClock();
  // Every timer fires 3 ms late.
  const late = { now: () => clock.now(), after: (ms: number, task: () => void) => clock.after(ms + 3, task) };
  const wheel = new Wheel(late);
  let runs = 0;
  const quit = wheel.add(() => {
    runs += 1;
  });
  clock.advance(60_000);
  quit();
  expect(Math.abs(runs - 3_000)).toBeLessThanOrEqual(1);
});

test("after a long stop rounds are skipped instead of made up", () => {
  const clock = new FakeClock();
  let stopped = 0;
  const slow = { now: () => clock.now() + stopped, after: (ms: number, task: () => void) => clock.after(ms, task) };
  const wheel = new Wheel(slow);
  let runs = 0;
  const quit = wheel.add(() => {
    runs += 1;
  });
  clock.advance(100);
  expect(runs).toBe(5);
  stopped = 5_000;
  clock.advance(5);
  expect(runs).toBeLessThanOrEqual(5 + 3);
  clock.advance(1_000);
  expect(Math.abs(runs - 55)).toBeLessThanOrEqual(4);
  quit();
});

test("an empty wheel stands still, and starts again", () => {
  const clock = new FakeClock();
  const wheel = new Wheel(clock);
  let runs = 0;
  const count = (): void => {
    runs += 1;
  };
  const quit = wheel.add(count);
  clock.advance(40);
  quit();
  quit();
  expect(clock.pending).toBe(0);
  clock.advance(1_000);
  expect(runs).toBe(2);
  const again = wheel.add(count);
  clock.advance(40);
  expect(runs).toBe(4);
  again();
  expect(clock.pending).toBe(0);
});

test("a task may leave from within its turn", () => {
  const clock = new FakeClock();
  const wheel = new Wheel(clock);
  let runs = 0;
  const quit = wheel.add(() => {
    runs += 1;
    quit();
  });
  clock.advance(200);
  expect([runs, clock.pending]).toEqual([1, 0]);
});
