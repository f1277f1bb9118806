import { describe, expect, test } from "vitest";
import { ToneGenerator } from "#core/audio/tone.ts";
import { Ear } from "#sandbox/phone/ear.ts";
import { Hearing } from "#sandbox/phone/hearing.ts";
import { Mouth } from "#sandbox/phone/mouth.ts";
import { roundTrip } from "#sandbox/phone/round-trip.ts";
import { Speaker } from "#sandbox/phone/speaker.ts";
import { seededRandom } from "#sandbox/random.ts";
import { DIGITS_PT, OPUS_PT, type RtpPacket, readRtp } from "#sandbox/relay/rtp.ts";
import { FakeClock } from "#test/support/fake-clock.ts";

const opus = Buffer.from([0x48, 0xff, 0xfe]);
const RATE = 16_000;
const FRAME = RATE / 50;

function packetsOf(speaker: Speaker, frames: number): RtpPacket[] {
  return Array.from({ length: frames }, () => speaker.next(() => opus))
    .flat()
    .map((packet) => readRtp(packet))
    .filter((packet) => packet !== undefined);
}

describe("a user's stream", () => {
  test("M12: digits on 126 in the same sequence, 48 kHz timestamps, 8 kHz durations, marker first, end three times", async () => {
    const speaker = new Speaker(seededRandom(1));
    const released = speaker.press("7#");
    const packets = packetsOf(speaker, 24);
    await released;
    const digits = packets.filter((packet) => packet.payloadType === DIGITS_PT);
    const [first] = digits;
    const seven = digits.filter((packet) => packet.timestamp === first?.timestamp);
    expect(seven.map((packet) => packet.payload.readUInt16BE(2))).toEqual([160, 320, 480, 640, 800, 960, 960, 960]);
    expect(seven.map((packet) => packet.payload.readUInt8(1) >> 7)).toEqual([0, 0, 0, 0, 0, 1, 1, 1]);
    expect(seven.map((packet) => packet.marker)).toEqual([true, ...Array(7).fill(false)]);
    expect(new Set(packets.map((packet) => packet.ssrc)).size).toBe(1);
    const steps = packets.slice(1).map((packet, i) => (packet.sequence - (packets[i]?.sequence ?? 0)) & 0xffff);
    expect(new Set(steps)).toEqual(new Set([1]));
    const before = packets.findIndex((packet) => packet.payloadType === OPUS_PT);
    expect(packets[before]?.timestamp).toBe(((first?.timestamp ?? 0) + 6 * 960) >>> 0);
    expect(digits.map((packet) => packet.payload.readUInt8(0))).toEqual([...Array(8).fill(7), ...Array(8).fill(11)]);
  });

  test("M13: a pause keeps the sequence and moves the timestamp", () => {
    const speaker = new Speaker(seededRandom(1));
    const [before] = packetsOf(speaker, 1);
    for (let i = 0; i < 50; i += 1) speaker.skip();
    const [after] = packetsOf(speaker, 1);
    expect(((after?.sequence ?? 0) - (before?.sequence ?? 0)) & 0xffff).toBe(1);
    expect(((after?.timestamp ?? 0) - (before?.timestamp ?? 0)) >>> 0).toBe(51 * 960);
  });
});

test("a user's ear counts what is lost, and reads each digit once", () => {
  const speaker = new Speaker(seededRandom(2));
  const hearing = new Hearing();
  void speaker.press("12");
  for (let i = 0; i < 40; i += 1) {
    for (const packet of speaker.next(() => opus)) if (i !== 30) hearing.take(packet, i * 20);
  }
  expect({ lost: hearing.lost, digits: hearing.digits, pause: hearing.longestPauseMs }).toEqual({
    lost: 1,
    digits: "12",
    pause: 40,
  });
});

describe("a measurement", () => {
  test("of a tone: its frequency, and silence for what never came", async () => {
    const clock = new FakeClock();
    const ear = new Ear(clock, RATE);
    const tone = new ToneGenerator(440, RATE);
    const report = ear.listen(1000, 440);
    for (let i = 0; i < 50; i += 1) {
      // From 700 to 900 ms nothing arrives; the packets after the gap tell how much is missing.
      if (i < 35 || i >= 45) ear.hear(tone.fill(new Int16Array(FRAME)), clock.now(), i === 45 ? 10 * FRAME : 0);
      clock.advance(20);
    }
    expect(await report).toMatchObject({ hz: 440, heardMs: 1000, longestGapMs: 200 });
    expect(clock.pending).toBe(0);
  });

  test("of delay: from a burst's leaving to its echo", async () => {
    const clock = new FakeClock();
    const ear = new Ear(clock, RATE);
    const mouth = new Mouth(RATE);
    mouth.tone(300);
    const line: Int16Array[] = Array.from({ length: 6 }, () => new Int16Array(FRAME));
    const tick = async (): Promise<void> => {
      ear.hear(line.shift() ?? new Int16Array(FRAME), clock.now());
      line.push(mouth.next(new Int16Array(FRAME)));
      clock.advance(20);
      for (let i = 0; i < 10; i += 1) await Promise.resolve();
    };
    for (let i = 0; i < 20; i += 1) await tick();
    const delay = roundTrip(clock, mouth, ear);
    for (let i = 0; i < 60; i += 1) await tick();
    expect(await delay).toBe(120);
    expect(clock.pending).toBe(0);
  });

  test("of delay where there is no echo ends without a figure, also when the call ends", async () => {
    const clock = new FakeClock();
    const ear = new Ear(clock, RATE);
    const deaf = roundTrip(clock, new Mouth(RATE), ear);
    await Promise.resolve();
    clock.advance(3_000);
    expect(await deaf).toBeUndefined();
    ear.hear(new ToneGenerator(440, RATE).fill(new Int16Array(FRAME)), clock.now());
    const cut = roundTrip(clock, new Mouth(RATE), ear);
    ear.close();
    expect(await cut).toBeUndefined();
    expect(clock.pending).toBe(0);
  });
});
