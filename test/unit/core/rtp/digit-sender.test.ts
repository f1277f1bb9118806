import { expect, test } from "vitest";
import { type DigitOutput, DigitSender } from "#core/rtp/digit-sender.ts";

interface Sent {
  readonly digit: number;
  readonly event: number;
  readonly end: boolean;
  readonly duration: number;
  readonly marker: boolean;
  readonly at: number;
}

class Recorder implements DigitOutput {
  readonly sent: Sent[] = [];
  readonly done_: number[] = [];
  digits = 0;
  now = 0;
  begin(): void {
    this.digits += 1;
  }
  packet(event: number, end: boolean, _volume: number, duration: number, marker: boolean): void {
    this.sent.push({ digit: this.digits, event, end, duration, marker, at: this.now });
  }
  done(durationMs: number): void {
    this.done_.push(durationMs);
  }
}

function setUp(clockRate = 8_000) {
  const out = new Recorder();
  const sender = new DigitSender(clockRate, out);
  const run = (ms: number): void => {
    for (const until = out.now + ms; out.now < until; ) {
      out.now += 20;
      sender.poll(out.now);
    }
  };
  return { out, sender, run };
}

test("a digit: marker on the first, growing durations every 20 ms, the end three times (RFC 4733 §2.5.1)", () => {
  const { out, sender, run } = setUp();
  sender.press(5, 100, 0);
  run(400);
  expect(out.sent.map(({ duration, end, marker, at }) => ({ duration, end, marker, at }))).toEqual([
    { duration: 160, end: false, marker: true, at: 0 },
    { duration: 320, end: false, marker: false, at: 20 },
    { duration: 480, end: false, marker: false, at: 40 },
    { duration: 640, end: false, marker: false, at: 60 },
    { duration: 800, end: true, marker: false, at: 80 },
    { duration: 800, end: true, marker: false, at: 100 },
    { duration: 800, end: true, marker: false, at: 120 },
  ]);
  expect(out.done_).toEqual([100]);
  expect([sender.active, sender.sent]).toEqual([false, 1]);
});

test("a key that is still down goes on until it goes up, and lasts as long as it did", () => {
  const { out, sender, run } = setUp();
  sender.start(7, 12, 0);
  run(200);
  expect(out.sent.at(-1)).toMatchObject({ end: false, duration: 1_760 });
  sender.finish(230);
  run(200);
  expect(out.sent.filter(({ end }) => end)).toHaveLength(3);
  expect(out.done_).toEqual([230]);
});

test("durations never shrink, also when the key went up before we learnt of it", () => {
  const { out, sender, run } = setUp();
  sender.start(7, 12, 0);
  run(200);
  sender.finish(60);
  run(100);
  const durations = out.sent.map(({ duration }) => duration);
  expect(durations).toEqual(durations.toSorted((x, y) => x - y));
});

test("keys that are typed faster than they can be sent wait, in order", () => {
  const { out, sender, run } = setUp();
  for (const event of [1, 2, 2, 3]) sender.press(event, 60, 0);
  run(1_000);
  const keys = out.sent.filter(({ marker }) => marker).map(({ event }) => event);
  expect(keys).toEqual([1, 2, 2, 3]);
  expect(out.digits).toBe(4);
  expect(out.sent.map(({ digit }) => digit)).toEqual(out.sent.map(({ digit }) => digit).toSorted((x, y) => x - y));
});

test("a second key ends the first, and a very short one is told as 40 ms", () => {
  const { out, sender, run } = setUp();
  sender.start(1, 10, 0);
  sender.start(2, 10, 5);
  sender.finish(3);
  run(600);
  expect(out.done_).toEqual([40, 40]);
});

test("a key that is held for ever is told as long as the field allows", () => {
  const narrow = setUp();
  narrow.sender.start(1, 10, 0);
  narrow.run(10_000);
  expect(narrow.out.done_).toEqual([6_000]);
  const wide = setUp(48_000);
  wide.sender.start(1, 10, 0);
  wide.run(10_000);
  expect(wide.out.sent.at(-1)?.duration).toBe(65_535);
});

test("the queue has a limit", () => {
  const { sender } = setUp();
  const taken = Array.from({ length: 40 }, () => sender.press(1, 100, 0));
  expect(taken.filter((ok) => ok)).toHaveLength(32);
});

test("what waits can be forgotten, and audio may go on at once", () => {
  const { out, sender, run } = setUp();
  sender.press(1, 100, 0);
  sender.press(2, 100, 0);
  run(40);
  sender.clear();
  expect(sender.active).toBe(false);
  expect(out.done_).toHaveLength(1);
  const before = out.sent.length;
  run(100);
  expect(out.sent).toHaveLength(before);
});
