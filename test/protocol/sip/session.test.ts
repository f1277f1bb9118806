import { afterEach, beforeEach, expect, test } from "vitest";
import { ManualClock } from "#test/protocol/sip-agent/support/clock.ts";
import { Cleanup, dialRequest, hungUp, pbxAnswer, ScriptedPbx, startEdge, Told, type World } from "./support.ts";

// RFC 4028: a PBX that dies in a call.

const cleanup = new Cleanup();
let clock: ManualClock;
let pbx: ScriptedPbx;
let world: World;
let told: Told;

beforeEach(async () => {
  clock = new ManualClock();
  pbx = cleanup.add(await new ScriptedPbx().start(), (each) => each.stop());
  world = await startEdge(cleanup, { port: pbx.port }, {}, { agentClock: clock });
  told = new Told();
});
afterEach(() => cleanup.run());

test.each([
  ["that left the refreshing to us", { Require: "timer", "Session-Expires": "180;refresher=uac" }],
  ["that wanted to refresh", { "Session-Expires": "180;refresher=uas" }],
  ["that knows no timers but UPDATE", { Allow: "INVITE, ACK, BYE, CANCEL, UPDATE" }],
])("a PBX %s and dies is noticed within three minutes", async (_, headers) => {
  world.edge.dial(dialRequest("100"), told);
  const invite = await pbx.request("INVITE");
  expect(invite.header("Session-Expires")).toBe("180");
  await pbx.answer(invite, pbxAnswer, headers);
  await told.until(/^answered/);
  await pbx.request("ACK");
  await pbx.stop();
  clock.advance(180_000);
  expect(await told.end()).toBe("ended by agent");
  expect(world.edge.counters()).toMatchObject({ legs: 0, dialogs: 0 });
});

test("a PBX that knows neither timers nor UPDATE is left alone", async () => {
  const leg = world.edge.dial(dialRequest("100"), told);
  await pbx.answer(await pbx.request("INVITE"));
  await told.until(/^answered/);
  await pbx.request("ACK");
  clock.advance(3_600_000);
  await leg.hangUp(hungUp);
  expect(pbx.seen.map(({ method }) => method)).toEqual(["INVITE", "ACK", "BYE"]);
});

test("a PBX that wants longer sessions gets them", async () => {
  const leg = world.edge.dial(dialRequest("100"), told);
  const first = await pbx.request("INVITE");
  first.respond(422, { headers: { "Min-SE": "600" } });
  const second = await pbx.request("INVITE", 1);
  expect(["Session-Expires", "Min-SE"].map((name) => second.header(name))).toEqual(["600", "600"]);
  expect(second.callId).toBe(first.callId);
  await pbx.answer(second, pbxAnswer, { "Session-Expires": "600;refresher=uas" });
  await told.until(/^answered/);
  await leg.hangUp(hungUp);
  expect(told.lines).toEqual(["answered PCMU", "ended by agent"]);
});
