import { describe, expect, test } from "vitest";
import type { Hours } from "#core/rule/rule.ts";
import { isTimezone, localTime, minuteOf, withinHours } from "#router/rules/hours.ts";

const office: Hours = {
  timezone: "America/Sao_Paulo",
  applies: "inside",
  weekly: [
    { days: [1, 2, 3, 4, 5], from: "09:00", to: "18:00" },
    { days: [5], from: "22:00", to: "02:00" },
    { days: [7], from: "00:00", to: "24:00" },
  ],
  holidays: ["12-25", "2026-11-20"],
};

describe("office hours", () => {
  test.each([
    ["2026-11-18T12:00:00Z", true, "Wednesday 09:00, the first minute"],
    ["2026-11-18T11:59:59Z", false, "Wednesday 08:59, the minute before"],
    ["2026-11-18T20:59:59Z", true, "Wednesday 17:59, the last minute"],
    ["2026-11-18T21:00:00Z", false, "Wednesday 18:00"],
    ["2026-11-14T01:00:00Z", true, "Friday 22:00, the night begins"],
    ["2026-11-14T04:59:00Z", true, "Saturday 01:59 of Friday's night"],
    ["2026-11-14T05:00:00Z", false, "Saturday 02:00"],
    ["2026-11-20T15:00:00Z", false, "a holiday of this year"],
    ["2026-11-21T04:00:00Z", false, "Saturday 01:00 after a holiday: its night was never begun"],
    ["2026-12-25T15:00:00Z", false, "a holiday of every year"],
    ["2026-11-22T03:00:00Z", true, "Sunday 00:00"],
    ["2026-11-23T02:59:00Z", true, "Sunday 23:59"],
    ["2026-11-23T03:00:00Z", false, "Monday 00:00"],
  ])("%s is open: %s (%s)", (at, open) => {
    expect(withinHours(office, Date.parse(at)).applies).toBe(open);
    expect(withinHours({ ...office, applies: "outside" }, Date.parse(at)).applies).toBe(!open);
  });

  test("says what it saw on the wall clock", () => {
    expect(withinHours(office, Date.parse("2026-11-18T21:00:00Z")).detail).toBe(
      "Wed 2026-11-18 18:00 in America/Sao_Paulo is closed",
    );
  });
});

test("summer time moves the wall clock, and the rule with it", () => {
  const berlin = (at: string) => localTime(Date.parse(at), "Europe/Berlin");
  expect(berlin("2026-03-29T00:59:00Z")).toEqual({ date: "2026-03-29", day: 7, minute: 119 });
  expect(berlin("2026-03-29T01:00:00Z")).toEqual({ date: "2026-03-29", day: 7, minute: 180 });
  // In autumn the hour from two to three comes twice.
  expect(berlin("2026-10-25T00:30:00Z").minute).toBe(150);
  expect(berlin("2026-10-25T01:30:00Z").minute).toBe(150);
});

test("a zone is an IANA name", () => {
  expect(["America/Sao_Paulo", "UTC", "Nowhere/Town", "-03:00", ""].map(isTimezone)).toEqual([
    true,
    true,
    false,
    false,
    false,
  ]);
});

test("a time is hours and minutes up to the end of the day", () => {
  expect(["00:00", "09:30", "24:00", "24:01", "9:30", "12:60"].map(minuteOf)).toEqual([
    0,
    570,
    1_440,
    undefined,
    undefined,
    undefined,
  ]);
});
