import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Asterisk } from "#test/support/asterisk.ts";
import { expectTone } from "#test/support/audio.ts";
import { PhonePage } from "#test/support/chromium.ts";
import { absent } from "#test/support/peers.ts";
import { eventually, type Story, TestWorld } from "#test/support/world.ts";

const MICROPHONE_HZ = 440;

const missing = (["chromium", "asterisk"] as const).filter(absent);

test.runIf(missing.length > 0)("Chromium and Asterisk are there (PONTE_CHROMIUM, PONTE_ASTERISK)", ({ skip }) =>
  skip(`without ${missing.join(" and ")}`),
);

const codecs = [
  { trunk: "pcmu", codec: "PCMU" },
  { trunk: "pcma", codec: "PCMA" },
  { trunk: "opus", codec: "opus" },
] as const;

describe.skipIf(missing.length > 0)("the phone page in Chromium, and Asterisk", () => {
  let asterisk: Asterisk;
  let world: TestWorld;
  let phone: PhonePage;

  beforeAll(async () => {
    asterisk = await Asterisk.start();
    const echoes = Object.fromEntries(codecs.map(({ trunk }) => [`echo ${trunk}`, { target: "600", trunk }]));
    const others = Object.fromEntries(["610", "611", "640", "652"].map((target) => [target, { target }]));
    world = await TestWorld.start({ pbx: asterisk, numbers: { ...echoes, ...others } });
    phone = await PhonePage.open(world.addresses.pageUrl ?? "", MICROPHONE_HZ);
  });

  afterAll(async () => {
    try {
      await phone?.close();
      await world?.stop();
    } finally {
      await asterisk?.stop();
    }
    world?.expectRulesKept();
  });

  afterEach(async () => {
    // After a failed test the call is still there.
    if (await phone.page.locator("#hang-up").isVisible()) await phone.hangUp();
    await phone.page.click("#back");
    expect(phone.problems).toEqual([]);
  });

  async function lastStory(): Promise<Story> {
    return world.story(world.meta.log.calls().at(-1)?.wacid ?? "");
  }

  test.each(codecs)("the microphone's tone comes back from the echo over $codec", async ({ trunk, codec }) => {
    await phone.dial(`echo ${trunk}`);
    await phone.shows("talking");
    await expectTone(phone, MICROPHONE_HZ);
    const meter = async () => Number(await phone.page.locator("#heard-text").getAttribute("data-hz"));
    await eventually("the page's meter", async () => Math.abs((await meter()) - MICROPHONE_HZ) < 4 || undefined);
    await phone.hangUp();
    await phone.shows("ended");
    expect(await phone.text("why")).toMatch(/^by you after 0:\d\d$/);
    const story = await lastStory();
    expect(story.row).toMatchObject({ result: "completed", ended_by: "caller", media_stats: { b: { codec } } });
    expect(story.row["evidence"]).toHaveProperty("two_way");
    expect(story.graph).toEqual(["pre_accept 200", "accept 200"]);
    expect(await phone.text("timeline")).toMatch(
      /call placed[\s\S]*call\.received[\s\S]*pre_accept → 200[\s\S]*leg_answered[\s\S]*accept → 200[\s\S]*two_way[\s\S]*terminate → 200/,
    );
  });

  test("keys of the keypad reach the PBX once each and in order, and the PBX hangs up", async () => {
    await phone.dial("610");
    await phone.shows("talking");
    // The phone says "talking" as soon as the call counts as answered; Chromium's own media may be a moment behind, and what
    // it sends before is lost. No finger is that fast.
    await phone.page.locator("#timeline", { hasText: "two_way" }).waitFor();
    await phone.press("4071");
    await phone.shows("ended");
    expect(asterisk.digitsRead()).toEqual(["4071"]);
    expect(await phone.text("digits")).toBe("4071");
    expect(await phone.text("why")).toMatch(/^by the business after/);
    expect((await lastStory()).row).toMatchObject({ ended_by: "pbx", media_stats: { a: { digits_in: 4 } } });
  });

  test("keys of the PBX show on the page", async () => {
    await phone.dial("611");
    await phone.shows("talking");
    await phone.shows("ended");
    expect((await phone.text("digits")).replaceAll(/[ ←]/g, "")).toBe("0123456789*#ABCD");
    expect(await lastStory()).toMatchObject({ row: { result: "completed", ended_by: "pbx" } });
  });

  test("a tone of the PBX is heard until it hangs up", async () => {
    await phone.dial("652");
    await phone.shows("talking");
    await expectTone(phone, 440, { ms: 500 });
    await phone.shows("ended");
    expect(await phone.text("why")).toMatch(/^by the business after 0:0\d$/);
    expect((await lastStory()).graph).toEqual(["pre_accept 200", "accept 200", "terminate 200"]);
  });

  test("a busy PBX shows as a declined call", async () => {
    await phone.dial("640");
    await phone.shows("ended");
    expect(await phone.text("state")).toBe("Declined");
    expect((await lastStory()).row).toMatchObject({ result: "busy", sip_status: 486 });
  });
});
