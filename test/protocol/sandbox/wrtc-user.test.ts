import { afterEach, beforeEach, expect, test } from "vitest";
import { PhoneServer } from "#sandbox/phone/phone-server.ts";
import { expectTone } from "#test/support/audio.ts";
import { WrtcUser } from "#test/support/wrtc-user.ts";
import { answerAll, number, openSandbox, type Sandbox } from "./business.ts";

const demo = { id: number.phoneNumberId, display: "15551440000", name: "Echo", explanation: "", extension: "600" };

let sandbox: Sandbox;
let server: PhoneServer;
let user: WrtcUser;

beforeEach(async () => {
  sandbox = await openSandbox();
  server = new PhoneServer({ meta: sandbox.meta, numbers: [demo] });
  user = await WrtcUser.open((await server.start()).url);
});

afterEach(async () => {
  await user.close();
  await server.stop();
  await sandbox.stop();
});

test("libwebrtc as the user's phone: hears its tone come back, presses keys, and the business hangs up", async () => {
  answerAll(sandbox.business);
  const call = user.call(demo.id);
  expect(await call.answered).toBe(true);
  call.sendTone(600);
  await expectTone(call, 600);
  expect(await call.measureRoundTrip()).toBeDefined();
  await call.sendDigits("42");
  await call.listen(200);
  const { digitsHeard, packetsHeard, lost } = await call.statistics();
  expect({ digitsHeard, lost, heard: packetsHeard > 50 }).toEqual({ digitsHeard: "42", lost: 0, heard: true });
  await sandbox.business.act("terminate", call.wacid);
  expect(await call.ended).toMatchObject({ reason: "hung_up", by: "business" });
  expect(sandbox.meta.log.violations()).toEqual([]);
});
