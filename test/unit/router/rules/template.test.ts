import { expect, test } from "vitest";
import type { Scope } from "#router/rules/scope.ts";
import { fill, templateProblems } from "#router/rules/template.ts";

const scope: Scope = {
  event: { type: "billing.invoice.overdue" },
  payload: { customer: { name: "Ana {{payload.secret}}", tags: ["vip"] }, amount: 12.5, paid: false, secret: "s" },
};

test.each([
  ["Olá, {{payload.customer.name}}!", "Olá, Ana {{payload.secret}}!"],
  ["{{ payload.amount }} {{payload.paid}} {{event.type}}", "12.5 false billing.invoice.overdue"],
  ["{{payload.customer.tags.0}}", "vip"],
  ["no variables, {single} braces", "no variables, {single} braces"],
])("%s", (text, filled) => {
  expect(fill(text, scope)).toEqual({ ok: true, value: filled });
});

test("fills every text of a document, and leaves the rest as it is", () => {
  const document = {
    type: "template",
    body: ["{{payload.amount}}", "x"],
    components: [{ n: 1, text: "{{event.type}}" }],
  };
  expect(fill(document, scope)).toEqual({
    ok: true,
    value: { type: "template", body: ["12.5", "x"], components: [{ n: 1, text: "billing.invoice.overdue" }] },
  });
});

test.each([
  ["{{payload.customer.mail}}", "payload.customer.mail is missing"],
  ["{{payload.customer}}", "payload.customer is neither a text nor a number"],
  ["{{payload.customer.constructor}}", "payload.customer.constructor is missing"],
  ["{{payload.__proto__.x}}", "payload.__proto__.x is missing"],
  ["{{name}}", "name is missing"],
])("%s fails the action: %s", (text, problem) => {
  expect(fill(text, scope)).toEqual({ ok: false, problem });
});

test("a variable that no event can have is found before any event comes", () => {
  expect(templateProblems({ text: "{{payload.a}} {{customer.name}}", body: ["{{payload.a | upper}}"] })).toEqual([
    "{{customer.name}} does not name a field of event or payload",
    "{{payload.a | upper}} does not name a field of event or payload",
  ]);
});
