import { afterEach, expect, test } from "vitest";
import { SyntheticUsers } from "#sandbox/phone/synthetic-user.ts";
import { answerAll, number, openSandbox, type Sandbox } from "./business.ts";

let sandbox: Sandbox | undefined;

afterEach(async () => {
  await sandbox?.stop();
  sandbox = undefined;
});

test("a synthetic user calls, is answered, hears its tone come back, presses keys and hangs up", async () => {
  sandbox = await openSandbox();
  const { meta, business } = sandbox;
  answerAll(business);
  const users = new SyntheticUsers(meta);
  const call = await users.call({ phoneNumberId: number.phoneNumberId });
  expect(await call.ringing).toBe(true);
  expect(await call.answered).toBe(true);
  call.sendTone(440);
  await new Promise((resolve) => setTimeout(resolve, 200));
  const report = await call.listen(1000, 440);
  expect(report.hz).toBe(440);
  expect(report.snrDb).toBeGreaterThan(20);
  expect(report.longestGapMs).toBeLessThanOrEqual(60);
  const delay = await call.measureRoundTrip();
  expect(delay).toBeGreaterThan(0);
  expect(delay).toBeLessThan(60);
  await call.sendDigits("12#");
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect((await call.statistics()).digitsHeard).toBe("12#");
  call.hangUp();
  expect(await call.ended).toMatchObject({ reason: "hung_up", by: "user" });
  await meta.idle();
  expect(business.events.map((event) => event["event"])).toEqual(["connect", "terminate"]);
  expect(meta.log.violations()).toEqual([]);
});
