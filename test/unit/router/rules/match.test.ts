import { expect, test } from "vitest";
import type { Rule } from "#core/rule/rule.ts";
import { matchRules } from "#router/rules/match.ts";
import { fakeEvent, fakeRule } from "#test/support/fake-router-values.ts";

const AT = Date.parse("2026-11-18T15:00:00Z");

function reasons(rules: readonly Partial<Rule>[], event = fakeEvent({ payload: { amount: 5 } })): readonly string[] {
  return matchRules(rules.map(fakeRule), event, AT).verdicts.map(({ reason }) => reason);
}

test.each([
  ["billing.invoice.overdue", "matched"],
  ["billing.invoice.*", "matched"],
  ["billing.*", "matched"],
  ["*", "matched"],
  ["billing.*.overdue", "matched"],
  ["billing", "type"],
  ["billing.invoice", "type"],
  ["billing.invoice.overdue.*", "type"],
  ["*.overdue", "type"],
])("the pattern %s: %s", (eventType, reason) => {
  expect(reasons([{ eventType }])).toEqual([reason]);
});

test("a rule says the first thing that did not fit", () => {
  const hours = { timezone: "UTC", applies: "outside", weekly: [{ days: [3], from: "00:00", to: "24:00" }] } as const;
  expect(
    reasons([
      { enabled: false },
      { provider: "cloud_api" },
      { channelId: "other" },
      { condition: "payload.amount > 5" },
      { condition: "payload.total > 5" },
      { hours },
      { condition: "payload.amount == 5", hours: { ...hours, applies: "inside" } },
    ]),
  ).toEqual(["disabled", "channel", "channel", "condition", "condition_error", "hours", "matched"]);
});

test("the search goes on until a rule stops it, or drops the event", () => {
  expect(reasons([{ onMatch: "continue" }, { eventType: "x" }, { onMatch: "stop" }, {}])).toEqual([
    "matched",
    "type",
    "matched",
    "not_reached",
  ]);
  expect(reasons([{ onMatch: "continue", actions: [{ type: "drop" }] }, {}])).toEqual(["matched", "not_reached"]);
});
