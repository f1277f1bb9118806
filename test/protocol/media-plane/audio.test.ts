import { afterAll, beforeAll, expect, test } from "vitest";
import type { AudioFormat } from "#core/sdp/session.ts";
import { OPUS, OPUS_OF_PBX, PCMA, PCMU, Stage, until } from "./support.ts";

const stage = new Stage();
beforeAll(async () => stage.start());
afterAll(async () => stage.stop());

const formats: readonly { readonly name: string; readonly audio: AudioFormat; readonly ptimeMs: number }[] = [
  { name: "PCMU", audio: PCMU, ptimeMs: 20 },
  { name: "PCMA", audio: PCMA, ptimeMs: 20 },
  { name: "Opus", audio: OPUS_OF_PBX, ptimeMs: 20 },
  { name: "PCMU in packets of 10 ms", audio: PCMU, ptimeMs: 10 },
  { name: "PCMA in packets of 30 ms", audio: PCMA, ptimeMs: 30 },
  { name: "PCMU in packets of 40 ms", audio: PCMU, ptimeMs: 40 },
];

/** About 1.5 s of audio each way. */
const HEARD_MS = 1_500;

test.concurrent.each(formats)("a tone is heard on the other side, both ways: the PBX speaks $name", async (row) => {
  const { audio, ptimeMs } = row;
  const { relay, pbx, call, story } = await stage.call((it) => it.describe(audio, { ptimeMs }));
  const user = await stage.mouth(OPUS, 440);
  const agent = await stage.mouth(audio, 1_000, { ptimeMs, ssrc: 0x0b0b_0b0b });
  let elapsedMs = 0;
  let spokenMs = 0;
  call.startSending();
  const hush = stage.every20ms(() => {
    elapsedMs += 20;
    if (relay.ear.packets.length > 0) relay.session.sendRtp(user.packet());
    for (; spokenMs < elapsedMs; spokenMs += ptimeMs) pbx.send(agent.packet());
  });
  await until(() => pbx.ear.of(audio.payloadType).length >= HEARD_MS / ptimeMs, "the PBX hears");
  await until(() => relay.ear.of(OPUS.payloadType).length >= HEARD_MS / 20, "WhatsApp hears");
  hush();
  const statistics = await call.statistics();

  const [atPbx, atUser] = [await pbx.ear.listen(audio, 440, 20), await relay.ear.listen(OPUS, 1_000, 20)];
  expect(Math.abs(atPbx.hz - 440)).toBeLessThanOrEqual(5);
  expect(Math.abs(atUser.hz - 1_000)).toBeLessThanOrEqual(5);
  expect(atPbx.snrDb).toBeGreaterThan(15);
  expect(atUser.snrDb).toBeGreaterThan(15);
  // No hole; but the speakers of this test are late themselves on a busy machine.
  expect(atPbx.longestGapMs).toBeLessThan(250);
  expect(atUser.longestGapMs).toBeLessThan(250);

  // One stream towards WhatsApp, whatever played: one SSRC, no hole, every packet of 20 ms.
  const [first, ...others] = relay.ear.packets;
  let last = first;
  for (const packet of others) {
    expect(packet.ssrc).toBe(call.ssrc);
    expect((packet.sequence - (last?.sequence ?? 0)) & 0xffff).toBe(1);
    expect(((packet.timestamp - (last?.timestamp ?? 0)) >>> 0) % 960).toBe(0);
    last = packet;
  }
  expect(
    pbx.ear
      .of(audio.payloadType)
      .slice(20)
      .every(({ payload }) => audio.codec === "opus" || payload.length === ptimeMs * 8),
  ).toBe(true);
  expect(statistics.transcoding).toBe(audio.codec !== "opus");
  expect([statistics.a.lost, statistics.b.lost]).toEqual([0, 0]);
  expect(statistics.a.mos).toBeGreaterThan(4);
  expect(statistics.b).toMatchObject({ codec: audio.codec, refused: {} });
  expect(story.failures).toEqual([]);
  const steps = story.steps();
  expect([...steps.slice(0, 3), ...steps.slice(3, 5).toSorted(), ...steps.slice(5)]).toEqual([
    "ice",
    "dtls",
    "first_rtp_out",
    "first_pbx_rtp_in",
    "first_rtp_in",
    "two_way",
  ]);
  await call.close();
});
