import { afterEach, describe, expect, test } from "vitest";
import { expectEcho } from "#test/support/audio.ts";
import { type Story, type TestPbx, TestWorld, type TestWorldOptions } from "#test/support/world.ts";
import { dialogue, message, types } from "./scenarios.ts";

const RING_MS = 1_200;

/** Calls that ponte does not take, or does not let go on; each under settings of its own. */
export function refusals(pbxOf: () => Promise<TestPbx | undefined>): void {
  let world: TestWorld | undefined;

  afterEach(async () => {
    await world?.stop();
    world?.expectRulesKept();
  });

  async function open(options: TestWorldOptions): Promise<TestWorld> {
    const pbx = await pbxOf();
    world = await TestWorld.start({ ...options, ...(pbx === undefined ? {} : { pbx }) });
    return world;
  }

  async function refused(at: TestWorld, name: string): Promise<Story> {
    const call = await at.call(name);
    expect(await call.ended).toMatchObject({ reason: "rejected", by: "business" });
    const story = await at.story(call.wacid);
    expect(story.graph).toEqual(["reject 200"]);
    expect(story.webhooks).toEqual(["connect 200", "terminate 200"]);
    expect(story.sip).toEqual([]);
    expect(story.row).toMatchObject({ state: "ended", result: "rejected", ended_by: "ponte" });
    expect(types(story)).toEqual(expect.arrayContaining(["call.received", "call.rejected", "meta_reject"]));
    return story;
  }

  test("a channel that refuses, and a number without a channel, reject before anybody rings", async () => {
    const at = await open({
      numbers: { refusing: { target: "600", handler: "reject" }, unknown: { target: "600", unknown: true } },
    });
    expect((await refused(at, "refusing")).row).toMatchObject({ cause: "handler_reject", handler: "reject" });
    expect((await refused(at, "unknown")).row).toMatchObject({ cause: "channel_unknown" });
  });

  test("while calling is switched off, a call is noted and left alone", async () => {
    const meta = { ringMs: { min: RING_MS, max: RING_MS } };
    const at = await open({ numbers: { "600": { target: "600" } }, settings: { calling: { enabled: false } }, meta });
    const call = await at.call("600");
    expect(await call.ended).toMatchObject({ reason: "not_answered" });
    const story = await at.story(call.wacid);
    expect(story.graph).toEqual([]);
    expect(story.sip).toEqual([]);
    expect(story.row).toMatchObject({ state: "ended", result: "rejected", cause: "calling_disabled" });
  });

  describe("a PBX that rings too long", () => {
    test.each([
      { target: "641", says: "180 and nothing more", provisional: ["pbx 180"] },
      { target: "646", says: "100 and nothing more", provisional: [] },
    ])("$target says $says: CANCEL to it, terminate to Meta", async ({ target, provisional }) => {
      const at = await open({ numbers: { slow: { target } }, settings: { calling: { ring_timeout_ms: RING_MS } } });
      const call = await at.call("slow");
      expect(await call.ended).toMatchObject({ reason: "rejected", by: "business" });
      const story = await at.story(call.wacid);
      expect(story.row).toMatchObject({
        result: "no_answer",
        ended_by: "ponte",
        cause: "ring_timeout",
        q850_cause: 19,
      });
      expect(story.graph).toEqual(["pre_accept 200", "terminate 200"]);
      const said = dialogue(story.sip);
      expect(said.slice(0, 1 + provisional.length)).toEqual(["ponte INVITE", ...provisional]);
      expect(said.slice(1 + provisional.length).sort()).toEqual([
        "pbx 200 CANCEL",
        "pbx 487",
        "ponte ACK",
        "ponte CANCEL",
      ]);
      expect(message(story, "ponte", "CANCEL").header("Reason")).toMatch(/^Q\.850;cause=19/);
      expect(types(story)).toContain("call.missed");
      expect(story.phone).not.toContain("picked_up");
    });
  });

  test("a daemon that stops takes no new call, lets the old one talk for a while, and then tells both sides", async () => {
    const at = await open({
      numbers: { "600": { target: "600" } },
      settings: { calling: { drain_timeout_ms: 1_500 } },
    });
    const talking = await at.call("600");
    expect(await talking.answered).toBe(true);
    const stopped = at.sandbox.daemon.stop();
    const late = await at.call("600");
    expect(await late.ended).toMatchObject({ reason: "rejected", by: "business" });
    await expectEcho(talking, 440, { ms: 300, windows: 2 });
    expect(await talking.ended).toMatchObject({ reason: "hung_up", by: "business" });
    await stopped;
    expect(await at.stored(late.wacid)).toMatchObject({ result: "rejected", ended_by: "ponte", cause: "draining" });
    expect(await at.stored(talking.wacid)).toMatchObject({ result: "completed", ended_by: "ponte", cause: "draining" });
    const sip = at.sip(talking.wacid);
    expect(dialogue(sip).slice(-2)).toEqual(["ponte BYE", "pbx 200 BYE"]);
    expect(message({ sip }, "ponte", "BYE").header("Reason")).toMatch(/^Q\.850;cause=41/);
    expect(at.sip(late.wacid)).toEqual([]);
  });
}
