import { afterAll, beforeAll, expect, test } from "vitest";
import type { AudioFormat, DigitFormat } from "#core/sdp/session.ts";
import { digitsIn, OPUS, OPUS_OF_PBX, PBX_DIGITS, PCMU, Stage, until, WHATSAPP_DIGITS } from "./support.ts";

const stage = new Stage();
beforeAll(async () => stage.start());
afterAll(async () => stage.stop());

const WIDE_DIGITS: DigitFormat = { payloadType: 110, clockRate: 48_000 };

const rows: readonly { readonly name: string; readonly audio: AudioFormat; readonly digits: DigitFormat }[] = [
  { name: "PCMU with telephone-event/8000", audio: PCMU, digits: PBX_DIGITS },
  { name: "Opus with telephone-event/48000", audio: OPUS_OF_PBX, digits: WIDE_DIGITS },
  { name: "Opus with telephone-event/8000", audio: OPUS_OF_PBX, digits: PBX_DIGITS },
];

/** Events 1, 2, 2, 10, 0: a digit that is typed twice is two digits. */
const typed = [1, 2, 2, 10, 0];

test.concurrent.each(rows)("digits go both ways, once each and in order: $name", async ({ audio, digits }) => {
  const { relay, pbx, call, story } = await stage.call((it) => it.describe(audio, { digits }));
  const user = await stage.mouth(OPUS, 440);
  const agent = await stage.mouth(audio, 1_000);
  call.startSending();
  await until(() => relay.ear.packets.length > 5, "our silence");
  const left = { a: [...typed], b: [...typed].reverse() };
  let tick = 0;
  const hush = stage.every20ms(() => {
    tick += 1;
    const fromUser = tick % 10 === 0 ? left.a.shift() : undefined;
    const fromAgent = tick % 10 === 5 ? left.b.shift() : undefined;
    if (fromUser === undefined) relay.session.sendRtp(user.packet());
    else for (const packet of user.digit(fromUser, WHATSAPP_DIGITS, 100)) relay.session.sendRtp(packet);
    if (fromAgent === undefined) pbx.send(agent.packet());
    else for (const packet of agent.digit(fromAgent, digits, 100)) pbx.send(packet);
  });
  await until(() => story.digits.length === typed.length * 2, "all digits told");
  await until(
    () => digitsIn(relay.ear.of(126)).filter(({ ends }) => ends === 3).length === typed.length,
    "at WhatsApp",
  );
  await until(
    () => digitsIn(pbx.ear.of(digits.payloadType)).filter(({ ends }) => ends === 3).length === typed.length,
    "at the PBX",
  );
  hush();
  const statistics = await call.close();

  const atPbx = digitsIn(pbx.ear.of(digits.payloadType));
  const atUser = digitsIn(relay.ear.of(126));
  expect(atPbx.map(({ event }) => event)).toEqual(typed);
  expect(atUser.map(({ event }) => event)).toEqual([...typed].reverse());
  for (const digit of atPbx) expect(digit).toMatchObject({ markers: 1, ends: 3, duration: digits.clockRate / 10 });
  for (const digit of atUser) expect(digit).toMatchObject({ markers: 1, ends: 3, duration: 800 });
  expect(story.digits.filter((digit) => digit.startsWith("a"))).toEqual(["a1", "a2", "a2", "a*", "a0"]);
  expect(story.digits.filter((digit) => digit.startsWith("b"))).toEqual(["b0", "b*", "b2", "b2", "b1"]);
  expect(story.digitDurations.every((ms) => Math.round(ms) === 100)).toBe(true);
  expect([statistics.a.digitsIn, statistics.a.digitsOut, statistics.b.digitsIn, statistics.b.digitsOut]).toEqual([
    5, 5, 5, 5,
  ]);
  // Digits are no loss of audio, on neither side.
  expect([statistics.a.lost, statistics.b.lost, statistics.concealedFrames, statistics.fecFrames]).toEqual([
    0, 0, 0, 0,
  ]);

  // In-band audio stands still between the first and the last packet of a digit; sequence and SSRC go on.
  const stream = relay.ear.packets;
  for (const [index, packet] of stream.entries()) {
    const next = stream[index + 1];
    if (next !== undefined) expect((next.sequence - packet.sequence) & 0xffff).toBe(1);
    if (packet.payloadType !== 126 || next === undefined || next.payloadType === 126) continue;
    // 100 ms of the 48 kHz clock, at least, lie between the start of a digit and the audio after it.
    expect((next.timestamp - packet.timestamp) >>> 0).toBeGreaterThanOrEqual(4_800);
    expect((next.timestamp - packet.timestamp) >>> 0).toBeLessThan(48_000);
  }
});

test.concurrent("a digit of our own is sent to a side that takes them, and to no other", async () => {
  const { relay, pbx, call, story } = await stage.call((it) => {
    const { digits: _, ...session } = it.describe(PCMU);
    return session;
  });
  call.startSending();
  call.sendDigit("a", "5", 120);
  call.sendDigit("b", "6", 120);
  call.sendDigit("a", "x", 120);
  await until(() => digitsIn(relay.ear.of(126)).some(({ ends }) => ends === 3), "the digit at WhatsApp");
  const statistics = await call.close();
  expect(digitsIn(relay.ear.of(126))).toMatchObject([{ event: 5, duration: 960, markers: 1 }]);
  expect(pbx.ear.packets.every(({ payloadType }) => payloadType === 0)).toBe(true);
  expect(story.digits).toEqual([]);
  expect([statistics.a.digitsOut, statistics.b.digitsOut]).toEqual([1, 0]);
});
