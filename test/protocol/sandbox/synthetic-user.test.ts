import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { SyntheticUsers } from "#sandbox/phone/synthetic-user.ts";
import { expectTone } from "#test/support/audio.ts";
import { answerAll, number, openSandbox, type Sandbox } from "./business.ts";

let sandbox: Sandbox;
let users: SyntheticUsers;

beforeEach(async () => {
  sandbox = await openSandbox();
  users = new SyntheticUsers(sandbox.meta);
});

afterEach(() => sandbox.stop());

describe("a synthetic user at a business that echoes", () => {
  beforeEach(() => answerAll(sandbox.business));

  test("hears its tone come back, measures, presses keys and hangs up", async () => {
    const { meta, business } = sandbox;
    const call = await users.call({ phoneNumberId: number.phoneNumberId });
    expect(await call.ringing).toBe(true);
    expect(await call.answered).toBe(true);
    call.sendTone(440);
    await expectTone(call, 440);
    expect(await call.measureRoundTrip()).toBeGreaterThan(0);
    await call.sendDigits("12#");
    await expect.poll(async () => (await call.statistics()).relay?.digits).toBe("12#");
    const statistics = await call.statistics();
    expect(statistics).toMatchObject({ lost: 0, digitsHeard: "12#", relay: { lost: 0, digits: "12#" } });
    expect(statistics.firstSoundMs).toBeGreaterThan(statistics.answeredMs ?? Number.POSITIVE_INFINITY);
    call.hangUp();
    expect(await call.ended).toMatchObject({ reason: "hung_up", by: "user" });
    await meta.idle();
    expect(business.events.map((event) => event["event"])).toEqual(["connect", "terminate"]);
    expect(meta.log.violations()).toEqual([]);
  });

  test("M13: a muted microphone leaves a gap and no lost packets", async () => {
    const call = await users.call({ phoneNumberId: number.phoneNumberId });
    await call.answered;
    call.sendTone(440);
    await call.listen(200);
    const listening = call.listen(1000, 440);
    await call.listen(300);
    call.mute(300);
    const report = await listening;
    // The gap stands in the timestamps, so that nobody takes it for loss.
    expect(report.longestGapMs).toBeGreaterThanOrEqual(260);
    expect((await call.statistics()).lost).toBe(0);
    call.hangUp();
    await call.ended;
  });

  test("ten at once hear themselves, and nothing is left over", async () => {
    const calls = await Promise.all(
      Array.from({ length: 10 }, () => users.call({ phoneNumberId: number.phoneNumberId })),
    );
    expect(await Promise.all(calls.map((call) => call.answered))).not.toContain(false);
    for (const [index, call] of calls.entries()) call.sendTone(400 + index * 50);
    await Promise.all(calls.map((call) => call.listen(300)));
    const reports = await Promise.all(calls.map((call, index) => call.listen(500, 400 + index * 50)));
    expect(reports.map((report) => report.hz)).toEqual(reports.map((_, index) => 400 + index * 50));
    const lost = await Promise.all(calls.map(async (call) => (await call.statistics()).lost));
    expect(lost.every((count) => count === 0)).toBe(true);
    for (const call of calls) call.hangUp();
    await Promise.all(calls.map((call) => call.ended));
    expect(sandbox.meta.liveCalls()).toBe(0);
  });
});

test("a synthetic user that is declined is told so, and all that it waits for ends", async () => {
  sandbox.business.onConnect = ({ id }) => void sandbox.business.act("reject", id);
  const call = await users.call({ phoneNumberId: number.phoneNumberId });
  expect(await call.ended).toEqual({ reason: "rejected", by: "business" });
  expect([await call.ringing, await call.answered]).toEqual([false, false]);
  expect(await call.listen(10_000)).toMatchObject({ hz: 0, heardMs: 0 });
  expect(await call.measureRoundTrip()).toBeUndefined();
  await call.sendDigits("1");
});
