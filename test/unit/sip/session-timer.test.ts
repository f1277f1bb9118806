import { expect, test } from "vitest";
import { longerSession, sessionHeaders, sessionWish } from "#sip/session-timer.ts";

test.each([
  ["the PBX chooses who refreshes", {}, "v0.9.1", "180"],
  ["the PBX refreshes where it may ask for a password", { username: "ponte" }, "v0.9.1", "180;refresher=uas"],
  ["the PBX refreshes where an old engine does not", {}, "v0.8.2", "180;refresher=uas"],
  ["a release candidate is as good as its version", {}, "v0.8.25-rc1", "180"],
  ["the PBX refreshes where the engine says no version", {}, "", "180;refresher=uas"],
])("%s", (_, trunk, version, expected) => {
  expect(sessionHeaders(sessionWish(trunk, version))).toEqual({ "Session-Expires": expected });
});

const wish = { seconds: 180, refresher: "any" } as const;

test.each([
  [422, "600", { seconds: 600, minSeconds: 600, refresher: "any" }],
  [422, "1800;x=y", { seconds: 1_800, minSeconds: 1_800, refresher: "any" }],
  [422, undefined, undefined],
  [422, "90", undefined],
  [422, "999999999", undefined],
  [486, "600", undefined],
])("%i with Min-SE %j: ask for %j", (status, minimum, expected) => {
  expect(longerSession(wish, { status, header: () => minimum })).toEqual(expected);
});

test("a demand is met once", () => {
  const longer = longerSession(wish, { status: 422, header: () => "600" });
  expect(longer && longerSession(longer, { status: 422, header: () => "900" })).toBeUndefined();
});
