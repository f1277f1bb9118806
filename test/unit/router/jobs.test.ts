import { expect, test } from "vitest";
import { eventId } from "#core/event/event.ts";
import { effectKey, laneKey } from "#router/jobs.ts";

const event = eventId("01980000-0000-7000-8000-000000000001");

test("an effect has one name for every attempt, and another one when it shall be repeated", () => {
  expect(effectKey(event, "rule-1", "0", 0)).toBe(`${event}/rule-1/0`);
  expect(effectKey(event, "rule-1", "0", 2)).toBe(`${event}/rule-1/0/r2`);
  expect(effectKey(event, undefined, "endpoint-1", 0)).toBe(`${event}/subscription/endpoint-1`);
});

test("a target that fails stops its own lanes only", () => {
  expect(laneKey("deliver", "one", "c")).not.toBe(laneKey("deliver", "other", "c"));
});
