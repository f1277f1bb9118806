import { expect, test } from "vitest";
import { DigitLane } from "#media/call/digit-lane.ts";
import { outgoing } from "#test/unit/media/stage/support.ts";

const EVENTS = { payloadType: 126, clockRate: 8_000 };

function setUp() {
  const { out, sent } = outgoing(48_000);
  let now = 0;
  const told: string[] = [];
  const lane = new DigitLane(
    out,
    () => now,
    (digit, ms) => told.push(`${digit} ${Math.round(ms)}`),
  );
  lane.setSource(EVENTS);
  const run = (ms: number): void => {
    for (const until = now + ms; now < until; ) {
      now += 20;
      lane.tick(now);
    }
  };
  const hear = (event: number, timestamp: number) =>
    lane.receiver.take({ event, end: true, volume: 10, duration: 800 }, timestamp, true, now);
  return { lane, out, sent, told, run, hear };
}

test("a key is told, and sent on at the clock of the other side", () => {
  const { lane, sent, told, run, hear } = setUp();
  lane.setTarget(EVENTS);
  hear(5, 1_000);
  run(300);
  expect(told).toEqual(["5 100"]);
  expect(sent.map(({ payloadType, timestamp }) => [payloadType, timestamp])).toEqual(Array(7).fill([126, 5_000]));
  expect([lane.received, lane.sent]).toEqual([1, 1]);
});

test("a side that takes no digits is spared, the key is told all the same", () => {
  const { lane, sent, told, run, hear } = setUp();
  hear(5, 1_000);
  run(300);
  expect([told, sent, lane.sent]).toEqual([["5 100"], [], 0]);
  expect(lane.press(5, 100)).toBe(false);
});

test("a stream that is closed, as on hold, gets no digits, and none are kept for later", () => {
  const { lane, out, sent, told, run, hear } = setUp();
  lane.setTarget(EVENTS);
  out.setOpen(false);
  hear(5, 1_000);
  run(100);
  out.setOpen(true);
  run(300);
  expect([told, sent]).toEqual([["5 100"], []]);
});

test("a hold in the midst of a digit ends it, and audio may go on afterwards", () => {
  const { lane, out, sent, run } = setUp();
  lane.setTarget(EVENTS);
  expect(lane.press(5, 200)).toBe(true);
  run(60);
  out.setOpen(false);
  run(100);
  const before = sent.length;
  out.setOpen(true);
  run(300);
  expect(sent).toHaveLength(before);
  expect(out.takes({})).toBe(true);
});

test("another format keeps the count, and frees the stream", () => {
  const { lane, out, run } = setUp();
  lane.setTarget(EVENTS);
  lane.press(1, 60);
  run(200);
  lane.press(2, 60);
  lane.setTarget({ payloadType: 101, clockRate: 48_000 });
  expect(out.takes({})).toBe(true);
  lane.press(3, 60);
  run(200);
  expect(lane.sent).toBe(3);
});
