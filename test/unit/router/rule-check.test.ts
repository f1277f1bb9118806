import { describe, expect, test } from "vitest";
import type { RuleDraft } from "#router/ports.ts";
import { actionProblems, ruleProblems } from "#router/rule-check.ts";
import { fakeDraft } from "#test/support/fake-router-values.ts";

const fields = (draft: Partial<RuleDraft>) => ruleProblems(fakeDraft(draft)).map(({ field }) => field);
const hours = { timezone: "UTC", applies: "inside", weekly: [] } as const;

test("a rule that is right has no problems", () => {
  const content = { type: "text", text: "Olá, {{payload.customer.name}}" } as const;
  expect(
    ruleProblems(
      fakeDraft({
        eventType: "billing.*",
        condition: "payload.amount > 1",
        hours: { ...hours, weekly: [{ days: [1, 7], from: "22:00", to: "06:00" }], holidays: ["12-25", "2026-01-01"] },
        actions: [{ type: "send_message", to: "{{payload.phone}}", content }, { type: "inbox" }, { type: "drop" }],
      }),
    ),
  ).toEqual([]);
});

describe("a rule is refused by the name of the field", () => {
  test.each<[Partial<RuleDraft>, string]>([
    [{ name: " " }, "name"],
    [{ priority: 1.5 }, "priority"],
    [{ eventType: "Billing.*" }, "event_type"],
    [{ condition: "payload.a >" }, "condition"],
    [{ hours: { ...hours, timezone: "Mars/Base" } }, "hours.timezone"],
    [{ hours: { ...hours, weekly: [{ days: [0], from: "09:00", to: "18:00" }] } }, "hours.weekly[0].days"],
    [{ hours: { ...hours, weekly: [{ days: [1], from: "9", to: "18:00" }] } }, "hours.weekly[0].from"],
    [{ hours: { ...hours, holidays: ["25/12"] } }, "hours.holidays[0]"],
    [{ actions: [] }, "actions"],
  ])("%j: %s", (draft, field) => {
    expect(fields(draft)).toEqual([field]);
  });
});

describe("an action is refused, whatever it is", () => {
  const text = { type: "text", text: "x" };
  test.each<[unknown, string]>([
    [null, "a"],
    [{ type: "call" }, "a.type"],
    [{ type: "webhook", endpoint_id: "x" }, "a.endpoint_id"],
    [{ type: "log", level: "loud" }, "a.level"],
    [{ type: "inbox", assignee: 5 }, "a.assignee"],
    [{ type: "send_message" }, "a.content"],
    [{ type: "send_message", content: { type: "text", text: "" } }, "a.content.text"],
    [{ type: "send_message", content: { type: "text", text: "x".repeat(4_097) } }, "a.content.text"],
    [{ type: "send_message", content: { type: "text", text: "{{customer}}" } }, "a.content"],
    [{ type: "send_message", content: { type: "image" } }, "a.content.type"],
    [{ type: "send_message", to: "nobody", content: text }, "a.to"],
    [{ type: "send_message", to: "{{payload.}}", content: text }, "a.to"],
    [{ type: "send_message", provider: "pigeon", content: text }, "a.provider"],
    [{ type: "send_message", content: { type: "template", name: "n" } }, "a.content.language"],
    [
      { type: "send_message", content: { type: "interactive", body: "b", choices: { kind: "buttons", buttons: [] } } },
      "a.content.choices.buttons",
    ],
  ])("%j: %s", (action, field) => {
    expect(actionProblems(action, "a").map((problem) => problem.field)).toEqual([field]);
  });
});
