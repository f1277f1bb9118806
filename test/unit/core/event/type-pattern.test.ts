import { expect, test } from "vitest";
import { isTypePattern, typePatternSource } from "#core/event/type-pattern.ts";

test.each([
  ["billing.invoice.*", "billing.invoice.overdue", true],
  ["billing.invoice.*", "billing.invoice.overdue.again", true],
  ["billing.invoice.*", "billing.invoice", false],
  ["billing.invoice.*", "billing.invoices.overdue", false],
  ["billing.*.overdue", "billing.invoice.overdue", true],
  ["billing.*.overdue", "billing.invoice.item.overdue", false],
  ["*", "call.missed", true],
  ["call.missed", "call.missed", true],
  ["call.missed", "callxmissed", false],
  ["*.missed", "call.missed", true],
])("%s stands for %s: %s", (pattern, type, fits) => {
  expect(isTypePattern(pattern)).toBe(true);
  expect(new RegExp(typePatternSource(pattern)).test(type)).toBe(fits);
});

test.each(["", "a*", "a..b", "a.", "(a", "A.b", "a.**"])("%j is no pattern", (text) => {
  expect(isTypePattern(text)).toBe(false);
});
