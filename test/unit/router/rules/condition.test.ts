import { describe, expect, test } from "vitest";
import { compile, judge } from "#router/rules/condition.ts";
import type { Scope } from "#router/rules/scope.ts";

const scope: Scope = {
  event: { type: "billing.invoice.overdue", source_system: "billing", channel_id: null },
  payload: {
    invoice: { amount: 150, rate: 3.5 },
    customer: { phone: "5511987654321", mail: null },
    tags: ["vip", "new"],
  },
};

describe("a condition holds", () => {
  test.each([
    ["payload.invoice.amount > 100", true],
    ["payload.invoice.amount > 150", false],
    ["payload.invoice.rate >= 3.5 && event.source_system == 'billing'", true],
    ["has(payload.customer.phone) && payload.customer.phone.startsWith('55')", true],
    ["has(payload.customer.name)", false],
    ["payload.customer.mail == null", true],
    ["event.channel_id == null", true],
    ["'vip' in payload.tags", true],
    ["payload.tags.exists(tag, tag == 'new')", true],
    ["size(payload.tags) == 3 || !(payload.invoice.amount == 1)", true],
    ["has(payload.toString) || has(payload.__proto__)", false],
  ])("%s: %s", (condition, value) => {
    expect(judge(condition, scope)).toEqual({ ok: true, value });
  });
});

describe("what cannot be said is told, and holds for nobody", () => {
  test.each([
    ["payload.order.id == 1", "No such key: order"],
    ["payload.constructor == 1", "No such key: constructor"],
    ["payload.invoice.amount > 'x'", "no such overload"],
    ["payload.customer.phone", "neither true nor false"],
  ])("%s", (condition, error) => {
    expect(judge(condition, scope)).toEqual({ ok: false, error: expect.stringContaining(error) });
  });
});

describe("a condition is refused", () => {
  test.each([
    ["for want of an end", "1 +", "Unexpected token"],
    ["that names something unknown", "process.exit(1) == 1", ""],
    ["that is no question", "1 + 2", "not bool"],
    ["with a regular expression", "event.type.matches('(a+)+$')", "matches is not available"],
    ["with values that double", "cel.bind(x, 'a', x == 'a')", "bind is not available"],
    ["with a walk within a walk", "payload.tags.all(x, payload.tags.all(y, x == y))", "cannot stand within"],
    ["that is too deep", `${"(".repeat(500)}true${")".repeat(500)}`, ""],
    ["with too many parts", Array.from({ length: 300 }, () => "true").join(" && "), ""],
    ["that is too long", `true ${" ".repeat(4_000)}`, "longer than 4000"],
  ])("%s", (_why, condition, error) => {
    expect(compile(condition)).toEqual({ ok: false, error: expect.stringContaining(error) });
    expect(judge(condition, scope).ok).toBe(false);
  });
});
