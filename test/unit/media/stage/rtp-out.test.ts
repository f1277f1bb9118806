import { expect, test } from "vitest";
import { Filler } from "#media/stage/filler.ts";
import { newFrame } from "#media/stage/frame.ts";
import { Passthrough } from "#media/stage/passthrough.ts";
import { incoming, outgoing } from "./support.ts";

const OPUS = { codec: "opus", payloadType: 111, clockRate: 48_000 } as const;

test("a filler sends its first frame at once and then one for each 20 ms, by the clock", () => {
  const { out, sent } = outgoing();
  const filler = new Filler(out);
  filler.setFormat(OPUS);
  for (let at = 0; at <= 1_000; at += 20) filler.tick(at);
  expect(sent).toHaveLength(51);
  expect(sent[0]).toMatchObject({ marker: true, payloadType: 111, sequence: 1_001, timestamp: 5_000, ssrc: 0xabc });
  expect(sent.slice(1).some(({ marker }) => marker)).toBe(false);
  expect(sent.at(-1)).toMatchObject({ sequence: 1_051, timestamp: 5_000 + 50 * 960 });
});

test("a wheel that comes early or late changes nothing in the long run", () => {
  const { out, sent } = outgoing();
  const filler = new Filler(out);
  filler.setFormat(OPUS);
  for (let n = 0; n <= 500; n += 1) filler.tick(n * 20 + ((n * 7) % 13) - 6);
  expect(Math.abs(sent.length - 501)).toBeLessThanOrEqual(1);
});

test("after a pause of the worker at most two frames are caught up, and the timestamp moves", () => {
  const { out, sent } = outgoing();
  const filler = new Filler(out);
  filler.setFormat(OPUS);
  filler.tick(0);
  filler.tick(20);
  filler.tick(60);
  expect(sent).toHaveLength(4);
  filler.tick(560);
  expect(sent).toHaveLength(5);
  expect(sent.at(-1)).toMatchObject({ marker: true, sequence: 1_005, timestamp: 5_000 + 28 * 960 });
});

test("a closed stream sends nothing", () => {
  const { out, sent } = outgoing();
  out.setOpen(false);
  const filler = new Filler(out);
  filler.setFormat(OPUS);
  filler.tick(0);
  expect(sent).toEqual([]);
});

test("sources take turns: sequence numbers go on, timestamps follow the clock", () => {
  const { out, sent } = outgoing();
  const filler = new Filler(out);
  filler.setFormat(OPUS);
  const speaker = new Passthrough(out, 111);
  for (let at = 0; at < 100; at += 20) filler.tick(at);
  for (let n = 0; n < 5; n += 1) {
    const at = 103 + n * 20;
    speaker.take(incoming({ sequence: 60_000 + n, timestamp: 4_000_000 + n * 960, at }));
    filler.tick(at + 10);
  }
  // The speaker pauses: silence takes over, but not before 100 ms.
  for (let at = 200; at <= 400; at += 20) filler.tick(at);
  expect(sent.map(({ sequence }) => sequence)).toEqual(Array.from({ length: sent.length }, (_, n) => 1_001 + n));
  const steps = sent.slice(1).map(({ timestamp }, n) => timestamp - (sent[n]?.timestamp ?? 0));
  expect(steps.slice(0, 9)).toEqual(Array(9).fill(960));
  // Pause from 183 to 300: six frames of 20 ms later it goes on, at its own time.
  expect(steps[9]).toBe(960 * 6);
  expect(steps.slice(10).every((step) => step === 960)).toBe(true);
  expect(sent.map(({ marker }) => marker)).toEqual(sent.map((_, n) => n === 0 || n === 5 || n === 10));
});

test("a source that ran ahead of time gives it back before silence takes over", () => {
  const { out, sent } = outgoing();
  const filler = new Filler(out);
  filler.setFormat(OPUS);
  const speaker = new Passthrough(out, 111);
  // 500 ms of audio in one burst.
  for (let n = 0; n < 25; n += 1) speaker.take(incoming({ sequence: n, timestamp: n * 960, at: 0 }));
  for (let at = 20; at <= 480; at += 20) filler.tick(at);
  expect(sent).toHaveLength(25);
  for (let at = 500; at <= 600; at += 20) filler.tick(at);
  expect(sent.length).toBeGreaterThan(28);
  expect(sent[25]?.timestamp).toBe(5_000 + 25 * 960);
});

test("while a digit is sent everybody else is held back, and goes on after its end", () => {
  const { out, sent } = outgoing();
  const filler = new Filler(out);
  filler.setFormat(OPUS);
  const speaker = new Passthrough(out, 111);
  speaker.take(incoming({ sequence: 1, timestamp: 0, at: 0 }));
  const digit = {};
  out.reserve(digit);
  const timestamp = out.beginEvent(digit, 20);
  expect(timestamp).toBe(5_960);
  for (let n = 0; n < 6; n += 1) {
    out.sendEvent(newFrame(4), 126, n === 0, timestamp, 20 + n * 20);
    speaker.take(incoming({ sequence: 2 + n, timestamp: 960 * (n + 1), at: 20 + n * 20 }));
    filler.tick(25 + n * 20);
  }
  out.endEvent(digit, timestamp, 4_800);
  out.reserve(undefined);
  speaker.take(incoming({ sequence: 8, timestamp: 960 * 7, at: 140 }));
  expect(sent.map(({ payloadType }) => payloadType)).toEqual([111, 126, 126, 126, 126, 126, 126, 111]);
  expect(sent.map(({ sequence }) => sequence)).toEqual([1_001, 1_002, 1_003, 1_004, 1_005, 1_006, 1_007, 1_008]);
  expect(sent.slice(1, 7).every((packet) => packet.timestamp === 5_960)).toBe(true);
  expect(sent.at(-1)).toMatchObject({ marker: true, timestamp: 5_000 + 7 * 960 });
  expect(out.held).toBeGreaterThanOrEqual(6);
});

test("another clock rate begins a new turn after what was sent", () => {
  const { out, sent } = outgoing(8_000);
  const filler = new Filler(out);
  filler.setFormat({ codec: "PCMU", payloadType: 0, clockRate: 8_000 });
  filler.tick(0);
  out.setClockRate(48_000);
  filler.setFormat(OPUS);
  filler.tick(100);
  filler.tick(120);
  expect(sent.map(({ payloadType, timestamp, marker }) => ({ payloadType, timestamp, marker }))).toEqual([
    { payloadType: 0, timestamp: 5_000, marker: true },
    { payloadType: 111, timestamp: 5_160, marker: true },
    { payloadType: 111, timestamp: 6_120, marker: false },
  ]);
});

test("packets that could not be sent are not counted", () => {
  const { out } = outgoing();
  expect([out.packets, out.firstAt]).toEqual([0, 0]);
  const filler = new Filler(out);
  filler.setFormat(OPUS);
  filler.tick(40);
  expect([out.packets, out.octets, out.bytes, out.firstAt, out.sentAt]).toEqual([1, 3, 15, 40, 40]);
});
