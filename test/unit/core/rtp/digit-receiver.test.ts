import { expect, test } from "vitest";
import { DigitReceiver } from "#core/rtp/digit-receiver.ts";
import { eventOfKey, keyOfEvent, readEvent, writeEvent } from "#core/rtp/telephone-event.ts";

interface Packet {
  readonly event: number;
  readonly timestamp: number;
  readonly duration: number;
  readonly end?: boolean;
  readonly marker?: boolean;
}

/** Hears packets 20 ms apart, then waits. */
function hear(packets: readonly Packet[], clockRate = 8_000): string[] {
  const told: string[] = [];
  const receiver = new DigitReceiver(clockRate, {
    onStart: (event) => told.push(`${keyOfEvent(event)} down`),
    onEnd: (event, ms) => told.push(`${keyOfEvent(event)} up ${Math.round(ms)}`),
  });
  let at = 0;
  for (const { event, timestamp, duration, end = false, marker = false } of packets) {
    receiver.take({ event, end, volume: 10, duration }, timestamp >>> 0, marker, at);
    at += 20;
    receiver.tick(at);
  }
  receiver.tick(at + 1_000);
  expect(receiver.active).toBe(false);
  return told;
}

/** A whole digit as it is usually sent. */
function digit(event: number, timestamp: number, duration = 800): Packet[] {
  return [
    { event, timestamp, duration: duration / 4, marker: true },
    { event, timestamp, duration: duration / 2 },
    { event, timestamp, duration, end: true },
    { event, timestamp, duration, end: true },
    { event, timestamp, duration, end: true },
  ];
}

const without = (packets: readonly Packet[], ...lost: number[]) => packets.filter((_, index) => !lost.includes(index));

const five = digit(5, 1_000);
const rows: readonly { readonly name: string; readonly packets: readonly Packet[]; readonly told: string[] }[] = [
  { name: "one digit", packets: five, told: ["5 down", "5 up 100"] },
  { name: "its first packet lost", packets: without(five, 0), told: ["5 down", "5 up 100"] },
  { name: "nothing but one end", packets: without(five, 0, 1, 2, 3), told: ["5 down", "5 up 100"] },
  { name: "all ends lost", packets: without(five, 2, 3, 4), told: ["5 down", "5 up 50"] },
  {
    name: "an update after the end",
    packets: [...five, { event: 5, timestamp: 1_000, duration: 400 }],
    told: ["5 down", "5 up 100"],
  },
  {
    name: "the same key twice",
    packets: [...five, ...digit(5, 3_000)],
    told: ["5 down", "5 up 100", "5 down", "5 up 100"],
  },
  {
    name: "ends lost before the next digit",
    packets: [...without(five, 2, 3, 4), ...digit(6, 3_000)],
    told: ["5 down", "5 up 50", "6 down", "6 up 100"],
  },
  {
    name: "a packet of the digit before comes late",
    packets: [
      ...five,
      { event: 6, timestamp: 3_000, duration: 200, marker: true },
      ...five.slice(3),
      ...digit(6, 3_000).slice(1),
    ],
    told: ["5 down", "5 up 100", "6 down", "6 up 100"],
  },
  {
    name: "over the wrap of the timestamp",
    packets: [...digit(1, 2 ** 32 - 400), ...digit(2, 1_200)],
    told: ["1 down", "1 up 100", "2 down", "2 up 100"],
  },
  {
    name: "a key held beyond the field goes on in a segment (RFC 4733 §2.5.1.3)",
    packets: [
      { event: 9, timestamp: 1_000, duration: 65_535, marker: true },
      { event: 9, timestamp: 1_000 + 65_535, duration: 800 },
      { event: 9, timestamp: 1_000 + 65_535, duration: 8_000, end: true },
    ],
    told: ["9 down", "9 up 9192"],
  },
  {
    name: "all sixteen keys",
    packets: [10, 11, 12, 15].flatMap((event, n) => digit(event, 1_000 + n * 4_000)),
    told: ["*", "#", "A", "D"].flatMap((key) => [`${key} down`, `${key} up 100`]),
  },
  { name: "a hook flash is no key", packets: digit(16, 1_000), told: [] },
];

test.each(rows)("tells each key once and in order: $name", ({ packets, told }) => {
  expect(hear(packets)).toEqual(told);
});

test("the duration is at the clock of the events", () => {
  expect(hear(digit(5, 48_000, 4_800), 48_000)).toEqual(["5 down", "5 up 100"]);
});

test("a new stream may have any timestamp, and so may the next digit after a long time", () => {
  const told: number[] = [];
  const receiver = new DigitReceiver(8_000, { onStart: (event) => told.push(event), onEnd: () => undefined });
  const end = { event: 1, end: true, volume: 10, duration: 800 };
  receiver.take(end, 3_000_000_000, true, 0);
  receiver.take({ ...end, event: 2 }, 2_999_000_000, true, 100);
  expect(told).toEqual([1]);
  receiver.reset(200);
  receiver.take({ ...end, event: 3 }, 5, true, 300);
  receiver.take({ ...end, event: 4 }, 4, true, 20_000);
  expect(told).toEqual([1, 3, 4]);
});

test("payloads are read and written (RFC 4733 §2.3)", () => {
  const bytes = Buffer.alloc(6, 0xff);
  writeEvent(bytes, 1, { event: 11, end: true, volume: 10, duration: 0x1234 });
  expect(bytes.toString("hex")).toBe("ff0b8a1234ff");
  expect(readEvent(bytes, 1, 5)).toEqual({ event: 11, end: true, volume: 10, duration: 0x1234 });
  expect(readEvent(bytes, 1, 4)).toBeUndefined();
  expect([
    eventOfKey("0"),
    eventOfKey("#"),
    eventOfKey("d"),
    eventOfKey("x"),
    eventOfKey(""),
    eventOfKey("12"),
  ]).toEqual([0, 11, 15, undefined, undefined, undefined]);
});
