import { expect, test } from "vitest";
import { Reception } from "#core/rtp/reception.ts";

interface Arrival {
  readonly sequence: number;
  readonly at?: number;
  readonly timestamp?: number;
  readonly ssrc?: number;
}

function receive(arrivals: readonly Arrival[]): Reception {
  const reception = new Reception();
  reception.setClockRate(8_000);
  for (const [index, { sequence, at = index * 20, timestamp = at * 8, ssrc = 1 }] of arrivals.entries()) {
    reception.take(ssrc, sequence & 0xffff, timestamp, at, 172, true);
  }
  return reception;
}

const sequences = (...list: number[]): Arrival[] => list.map((sequence) => ({ sequence }));

const tables = [
  { name: "all there", arrivals: sequences(10, 11, 12, 13), expected: 4, lost: 0 },
  { name: "one missing", arrivals: sequences(10, 11, 13), expected: 4, lost: 1 },
  { name: "out of order is no loss", arrivals: sequences(10, 12, 11, 13), expected: 4, lost: 0 },
  {
    name: "a duplicate does not make up for a loss in `lost` beyond zero",
    arrivals: sequences(10, 11, 11),
    expected: 2,
    lost: 0,
  },
  { name: "over the wrap", arrivals: sequences(65_534, 65_535, 0, 2), expected: 5, lost: 1 },
  { name: "a lonely jump is not believed", arrivals: sequences(10, 11, 40_000, 12, 13), expected: 4, lost: 0 },
  {
    name: "two packets after a jump are a restart",
    arrivals: sequences(10, 11, 40_000, 40_001, 40_003),
    expected: 6,
    lost: 1,
  },
  {
    name: "another SSRC is counted on",
    arrivals: [...sequences(10, 12), { sequence: 500, ssrc: 2 }, { sequence: 502, ssrc: 2 }],
    expected: 6,
    lost: 2,
  },
];

test.each(tables)("loss by sequence numbers (RFC 3550 §A.3): $name", ({ arrivals, expected, lost }) => {
  const reception = receive(arrivals);
  expect([reception.expected, reception.lost]).toEqual([expected, lost]);
  expect(reception.lossRatio).toBeCloseTo(lost / expected);
  expect(reception.packets).toBe(arrivals.length);
});

test("no jitter when packets come as they were sent, and the mean deviation when they do not (RFC 3550 §A.8)", () => {
  expect(receive(sequences(1, 2, 3, 4)).jitterMs).toBe(0);
  // Every other packet is 10 ms late: differences of 10 ms, forever.
  const wobbly = Array.from({ length: 400 }, (_, n) => ({
    sequence: n,
    at: n * 20 + (n % 2) * 10,
    timestamp: n * 160,
  }));
  expect(receive(wobbly).jitterMs).toBeCloseTo(10, 1);
});

test("timestamps wrap without a jump of jitter, and digits do not count for it", () => {
  const wrapping = Array.from({ length: 50 }, (_, n) => ({
    sequence: n,
    timestamp: (2 ** 32 - 1_600 + n * 160) % 2 ** 32,
  }));
  expect(receive(wrapping).jitterMs).toBe(0);
  const reception = receive(sequences(1, 2));
  for (let n = 0; n < 10; n += 1) reception.take(1, 3 + n, 320, 40 + n * 20, 16, false);
  expect(reception.jitterMs).toBe(0);
  expect(reception.longestGapMs).toBe(20);
});

test("jitter in milliseconds survives a change of the clock", () => {
  const reception = receive(
    Array.from({ length: 100 }, (_, n) => ({ sequence: n, at: n * 20 + (n % 2) * 8, timestamp: n * 160 })),
  );
  const before = reception.jitterMs;
  reception.setClockRate(48_000);
  expect(reception.jitterMs).toBeCloseTo(before);
});

test("the longest gap is told", () => {
  const reception = receive([
    { sequence: 1, at: 0 },
    { sequence: 2, at: 20 },
    { sequence: 3, at: 320 },
    { sequence: 4, at: 340 },
  ]);
  expect(reception.longestGapMs).toBe(300);
});

test("report blocks count the fraction since the last report (RFC 3550 §6.4.1)", () => {
  const reception = new Reception();
  expect(reception.report()).toBeUndefined();
  for (const sequence of [100, 101, 103, 104]) reception.take(9, sequence, 0, 0, 0, false);
  expect(reception.report()).toMatchObject({
    ssrc: 9,
    fractionLost: 51,
    cumulativeLost: 1,
    extendedHighestSequence: 104,
  });
  for (const sequence of [105, 106]) reception.take(9, sequence, 0, 0, 0, false);
  expect(reception.report()).toMatchObject({ fractionLost: 0, cumulativeLost: 1 });
  expect(reception.report()).toMatchObject({ fractionLost: 0, extendedHighestSequence: 106 });
});

test("the highest sequence is extended by its cycles", () => {
  const reception = receive(sequences(65_535, 0, 1));
  expect(reception.report()?.extendedHighestSequence).toBe(0x1_0001);
});
