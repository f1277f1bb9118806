import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectEcho, expectTone } from "#test/support/audio.ts";
import { type TestPbx, TestWorld } from "#test/support/world.ts";

const codecs = [
  { trunk: "pcmu", codec: "PCMU", hz: 440, transcoding: true },
  { trunk: "pcma", codec: "PCMA", hz: 620, transcoding: true },
  { trunk: "opus", codec: "opus", hz: 880, transcoding: false },
] as const;

/** libwebrtc talks to echo and test tone: what is heard, and what the record says about it. */
export function echoes(pbxOf: () => Promise<TestPbx | undefined>, toneMs: number): void {
  let world: TestWorld;

  beforeAll(async () => {
    const pbx = await pbxOf();
    const echoOf = Object.fromEntries(codecs.map(({ trunk }) => [`600 ${trunk}`, { target: "600", trunk }]));
    const numbers = { ...echoOf, "601": { target: "601" } };
    world = await TestWorld.start({ numbers, ...(pbx === undefined ? {} : { pbx }) });
  });

  afterAll(async () => {
    await world?.stop();
    world?.expectRulesKept();
  });

  describe("a tone comes back from the echo", () => {
    test.each(codecs)("over $codec", async ({ trunk, codec, hz, transcoding }) => {
      const phone = await world.phone();
      const call = phone.call(world.number(`600 ${trunk}`));
      expect(await call.answered).toBe(true);
      await expectEcho(call, hz);
      call.hangUp();
      expect(await call.ended).toMatchObject({ reason: "hung_up", by: "user" });
      const { row, graph, answers } = await world.story(call.wacid);
      expect(row).toMatchObject({
        result: "completed",
        ended_by: "caller",
        media_stats: { transcoding, a: { codec: "opus" }, b: { codec, lost: 0 } },
      });
      expect(row["evidence"]).toHaveProperty("two_way");
      expect(graph).toEqual(["pre_accept 200", "accept 200"]);
      expect(answers[1]).toBe(answers[0]);
    });
  });

  test(`1004 Hz of the PBX is heard for ${toneMs / 1_000} s without a hole`, async () => {
    const phone = await world.phone();
    const call = phone.call(world.number("601"));
    expect(await call.answered).toBe(true);
    await expectTone(call, 1_004, { ms: toneMs, windows: 3 });
    call.hangUp();
    const { row } = await world.story(call.wacid);
    expect(row).toMatchObject({ result: "completed", cause: "hangup" });
  });
}
